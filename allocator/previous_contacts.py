"""What users were given before: an earlier allocation, which constraints compare with, and the contact history, which caps count.

Both are rows of (user, action), streamed into arrays sorted by the user's place in the scores and taken shard by shard.

Axes: U users, N earlier contacts, n those of a shard, A actions, C contact caps, S user classes, K contacts of a slate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker.catalogue import MOST_HISTORY_DAYS
from ranker.columns import (
    Places,
    as_days,
    as_ids,
    as_text,
    is_date,
    is_id,
    is_text,
    read_ids,
    together,
    type_of_ids,
    value_problems,
)
from ranker.files import InputError, batches, parquet_files, parquet_schema
from ranker.scores import Scores, Shard

GONE = -1
"""The action of an earlier contact that this week's catalogue does not have."""
ROWS_PER_STEP = 1_048_576


@dataclass(frozen=True)
class PastContacts:
    """Earlier contacts of users who are in the scores, sorted by user_N, the user's place there. action_N: int16 position in the
    catalogue or GONE; age_N: int16 days before `as_of`, or empty."""

    user_N: np.ndarray
    action_N: np.ndarray
    age_N: np.ndarray

    def of(self, users: range) -> tuple[np.ndarray, np.ndarray]:
        """(position of the user among `users`, position of the contact here) of all contacts of these users, in their order."""
        first, last = np.searchsorted(self.user_N, [users.start, users.stop])
        return self.user_N[first:last].astype(np.int64) - users.start, np.arange(first, last)


NO_PAST = PastContacts(np.empty(0, np.int32), np.empty(0, np.int16), np.empty(0, np.int16))
"""Of users who were given nothing before."""


def read_previous(scores: Scores, previous: Path | None) -> PastContacts:
    """The rows of the allocation to compare with, whatever their source; InputError where there is none."""
    if previous is None:
        raise InputError(
            ["policy: a constraint of kind change or churn needs previous=, the allocation to compare with"]
        )
    files = parquet_files(previous)
    if not files:
        raise InputError([f"{previous}: there are no *.parquet files; previous= names an earlier allocation"])
    return _read(files, ("user_id", "action"), scores, None, 0)


def read_history(scores: Scores, rules: Sequence[str], most_days: int) -> PastContacts:
    """The contacts of the `history/` dataset inside the scores that are less than most_days old; gone actions are left out.

    rules: ids of the contact rules that count them, for messages. Raises InputError with all faults.
    """
    folder = scores.path / "history"
    files = parquet_files(folder)
    named = f"rule{'s' if len(rules) > 1 else ''} {', '.join(rules)}"
    faults = []
    if scores.catalogue.as_of is None:
        faults.append(f"{scores.path}/catalogue.json: as_of: is missing, and days are counted back from it ({named})")
    if not files:
        faults.append(
            f"policy: contact: counts contacts of earlier days ({named}), and {folder} has no *.parquet files"
        )
    if faults:
        raise InputError(faults)
    past = _read(files, ("user_id", "action", "date"), scores, scores.catalogue.as_of, most_days)
    known_N = past.action_N != GONE
    return PastContacts(past.user_N[known_N], past.action_N[known_N], past.age_N[known_N])


def history_of(table: pa.Table, scores: Scores) -> PastContacts:
    """The contacts of earlier days of users who are in memory, a row each: `user_id`, `action` and `date`, as in `history/`.

    Gone actions and other users are passed over. Raises InputError for days after the scores' `as_of`, or where there is none.
    """
    as_of = scores.catalogue.as_of
    if as_of is None:
        raise InputError(["catalogue.json: as_of: is missing, and days are counted back from it"])
    users = pa.chunked_array([shard.user_id for shard in scores.shards(check=False, planes=())])
    user_N = pc.index_in(as_ids(table.column("user_id")).cast(users.type), users).fill_null(GONE).to_numpy()
    action_N = _positions(as_text(table.column("action")), scores)
    age_N = _ages(as_days(table.column("date")), as_of)
    if (age_N < 0).any():
        raise InputError([f"history: {int((age_N < 0).sum()):,} contacts are later than the scores' as_of, {as_of}"])
    kept_N = (user_N >= 0) & (action_N != GONE) & (age_N <= MOST_HISTORY_DAYS)
    order_N = np.argsort(user_N[kept_N], kind="stable")
    parts = (user_N.astype(np.int32), action_N, age_N.astype(np.int16))
    return PastContacts(*(part_N[kept_N][order_N] for part_N in parts))


def contacts_before(
    past: PastContacts,
    scores: Scores,
    class_of: Callable[[Shard], np.ndarray],
    classes: int,
    weight_U: np.ndarray | None = None,
) -> np.ndarray:
    """int64[S, A]: earlier contacts of users who are in the scores, by the class they are in now, without gone actions.

    weight_U: how many users each of the scores stands for; by default itself.
    """
    actions = len(scores.catalogue.actions)
    count_SA = np.zeros(classes * actions)
    for shard in scores.shards(check=False, planes=()):
        user_n, row_n = past.of(shard.places)
        action_n = past.action_N[row_n].astype(np.int64)
        known_n = action_n != GONE
        class_n = class_of(shard)[user_n].astype(np.int64)
        weight_n = None if weight_U is None else weight_U[shard.start + user_n[known_n]]
        count_SA += np.bincount((class_n * actions + action_n)[known_n], weight_n, minlength=len(count_SA))
    return np.rint(count_SA).astype(np.int64).reshape(classes, actions)


def slates_before(past: PastContacts, users: range, width: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    """(int16[U, width] of the users' earlier actions in catalogue order, padded with `none`; bool[U] whether they fit in and exist).

    What is not there any more, or is more than `width` actions, cannot be given again.
    """
    user_n, row_n = past.of(users)
    action_n = past.action_N[row_n]
    order_n = np.lexsort((action_n, user_n))
    user_n, action_n = user_n[order_n], action_n[order_n]
    again_n = np.append(True, (user_n[1:] != user_n[:-1]) | (action_n[1:] != action_n[:-1]))[: len(user_n)]
    user_n, action_n = user_n[again_n], action_n[again_n]
    rank_n = np.arange(len(user_n)) - np.searchsorted(user_n, user_n, "left")
    whole_U = np.ones(len(users), bool)
    whole_U[user_n[(rank_n >= width) | (action_n == GONE)]] = False
    slate_UK = np.full((len(users), width), none, np.int16)
    kept_n = rank_n < width
    slate_UK[user_n[kept_n], rank_n[kept_n]] = action_n[kept_n]
    return slate_UK, whole_U


def received(
    past: PastContacts, users: range, member_CA: np.ndarray, capacity_C: np.ndarray, days_C: np.ndarray
) -> np.ndarray:
    """[U, C] of the smallest unsigned type: earlier contacts that each cap counts, at most its capacity."""
    user_n, row_n = past.of(users)
    action_n, age_n = past.action_N[row_n], past.age_N[row_n]
    count_UC = np.zeros((len(users), len(days_C)), counted_as(capacity_C))
    for cap in np.flatnonzero(days_C):
        counted_n = member_CA[cap, action_n] & (age_n < days_C[cap])
        count_U = np.bincount(user_n[counted_n], minlength=len(users))
        count_UC[:, cap] = np.minimum(count_U, capacity_C[cap])
    return count_UC


def counted_as(capacity_C: np.ndarray) -> np.dtype:
    """The type in which contacts up to these capacities are counted."""
    return np.min_scalar_type(int(capacity_C.max(initial=0)))


def _read(
    files: Sequence[Path], columns: Sequence[str], scores: Scores, as_of: date | None, most_days: int
) -> PastContacts:
    """Streams rows into compact arrays; with as_of, the rows of the last most_days days alone. Raises InputError with all faults."""
    faults: list[str] = []
    rows = (part for file in files for part in _batches(file, columns, scores, as_of, most_days, faults))
    places = Places(read_ids(*scores.files))
    parts = [_placed(places, table) for table in together(rows, max(len(places), ROWS_PER_STEP))]
    if faults:
        raise InputError(faults)
    empty = (np.empty(0, np.int32), np.empty(0, np.int16), np.empty(0, np.int16))
    user_N, action_N, age_N = (np.concatenate(each) for each in zip(empty, *parts, strict=True))
    parts.clear()
    if (user_N[1:] < user_N[:-1]).any():
        order_N = np.argsort(user_N, kind="stable")
        user_N, action_N = user_N[order_N], action_N[order_N]
        age_N = age_N[order_N] if len(age_N) else age_N
    return PastContacts(user_N, action_N, age_N)


def _placed(places: Places, table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(place of the user in the scores, action, age) of the rows whose users are there."""
    user_N = places.of(table.column("user_id"))
    known_N = user_N >= 0
    age_N = table.column("age").to_numpy()[known_N] if "age" in table.column_names else np.empty(0, np.int16)
    return user_N[known_N].astype(np.int32), table.column("action").to_numpy()[known_N], age_N


def _batches(
    file: Path, columns: Sequence[str], scores: Scores, as_of: date | None, most_days: int, faults: list[str]
) -> Iterator[pa.Table]:
    """user_id, action (its position) and age of one file, a bounded number of rows at a time; what is wrong goes to `faults`."""
    try:
        wrong = list(_wrong_columns(file, parquet_schema(file), columns, scores))
        if wrong := wrong or list(value_problems(file, ["user_id"], [name for name in columns if name == "date"])):
            faults.extend(wrong)
            return
        missing = dict.fromkeys(columns, 0)
        future = 0
        for batch in batches(file, ROWS_PER_STEP, columns):
            for name in columns:
                missing[name] += batch.column(name).null_count
            read = {"user_id": as_ids, "action": as_text, "date": as_days}
            table = pa.table({name: read[name](batch.column(name)) for name in columns}).drop_null()
            told = {"user_id": table.column("user_id"), "action": _positions(table.column("action"), scores)}
            if as_of is None:
                yield pa.table(told)
                continue
            age_N = _ages(table.column("date"), as_of)
            future += int((age_N < 0).sum())
            recent_N = (age_N >= 0) & (age_N < most_days)
            yield pa.table(told | {"age": np.where(recent_N, age_N, 0).astype(np.int16)}).filter(pa.array(recent_N))
    except InputError as error:
        faults.extend(error.problems)
        return
    faults.extend(f"{file}: column {name}: {count:,} rows are missing" for name, count in missing.items() if count)
    if as_of is not None and future:
        faults.append(f"{file}: column date: {future:,} rows are later than the scores' as_of, {as_of.isoformat()}")


def _wrong_columns(file: Path, schema: pa.Schema, columns: Sequence[str], scores: Scores) -> Iterator[str]:
    fits = {"user_id": is_id, "action": is_text, "date": is_date}
    wanted = {"user_id": f"the scores have {id_type(scores)}", "action": "it must be text", "date": "it must be a date"}
    for name in columns:
        if name not in schema.names:
            yield f"{file}: column {name}: is missing"
            continue
        kind = schema.field(name).type
        if not fits[name](kind) or (name == "user_id" and type_of_ids(kind) != id_type(scores)):
            yield f"{file}: column {name}: has type {kind}; {wanted[name]}"


def id_type(scores: Scores) -> pa.DataType:
    """int64 or string."""
    return type_of_ids(parquet_schema(scores.files[0]).field("user_id").type)


def _ages(dates: pa.ChunkedArray, as_of: date) -> np.ndarray:
    """int64[N]: whole days before as_of."""
    days = dates.cast(pa.int32()).to_numpy()
    return (as_of - date(1970, 1, 1)).days - days.astype(np.int64)


def _positions(actions: pa.ChunkedArray, scores: Scores) -> np.ndarray:
    """int16[N]: places in the catalogue, GONE for what is not in it."""
    found = pc.index_in(actions, pa.array(scores.catalogue.ids, pa.string()))
    return found.fill_null(GONE).to_numpy().astype(np.int16)
