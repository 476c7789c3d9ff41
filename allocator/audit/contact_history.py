"""What users have received on earlier days: the dataset `history/` inside the scores, as far as contact rules count it.

Axes: U users, u some of them, N rows of the history, A actions, C contact caps.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.audit.rows import ROWS_PER_STEP, Numbering, cast, codes_of, type_of_ids
from allocator.audit.scope import Cap, Need
from ranker.files import InputError, batches_of, open_parquet, parquet_files
from ranker.scores import Scores

COLUMNS = ("user_id", "action", "date")
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Received:
    """How many earlier contacts each cap counts, then each need, for every user of the scores.

    count_UC: of the smallest unsigned type, and no more than matter; 0 for what counts this run alone.
    """

    count_UC: np.ndarray

    def of(self, first: int, users: int) -> np.ndarray:
        """[u, C]: the counts of so many users of the scores from number `first` on."""
        return self.count_UC[first : first + users]


def read_received(scores: Scores, caps: Sequence[Cap | Need], numbering: Numbering) -> Received | None:
    """Streams the history where a cap or a need counts it: then a number per user and cap is held, however long the history is.

    InputError lists everything wrong with it.
    """
    rules = list(dict.fromkeys(cap.rule for cap in caps if cap.days is not None))
    if not rules:
        return None
    files = parquet_files(scores.path / "history")
    problems = list(_lacking(scores, files, rules))
    opened = [_open(file, scores, problems) for file in files]
    as_of = scores.catalogue.as_of
    if problems or as_of is None:
        raise InputError(problems)
    counting = _Counting(scores, as_of, caps, numbering)
    faults: Counter[tuple[Path, str]] = Counter()
    for file, parquet in zip(files, opened, strict=True):
        for table in _batches(file, parquet):
            counting.add(table, file, faults)
    if any(faults.values()):
        raise InputError([f"{file}: column {fault.format(f'{n:,}')}" for (file, fault), n in faults.items() if n])
    counting.count()
    return Received(counting.count_UC)


def _lacking(scores: Scores, files: Sequence[Path], rules: Sequence[str]) -> Iterator[str]:
    named = f"the policy counts contacts of earlier days (rule {', '.join(rules)})"
    if scores.catalogue.as_of is None:
        yield f"{scores.path / 'catalogue.json'}: as_of: {named}, and there is no day to count back from"
    if not files:
        yield f"{named}, and {scores.path / 'history'} has no *.parquet files"


def _open(file: Path, scores: Scores, problems: list[str]) -> pq.ParquetFile | None:
    """The file; what is wrong with its columns goes to `problems`."""
    try:
        parquet = open_parquet(file)
    except InputError as error:
        problems += error.problems
        return None
    kinds = {field.name: field.type for field in parquet.schema_arrow}
    ids = type_of_ids(scores)
    fits: dict[str, Callable[[pa.DataType], bool]] = {
        "user_id": lambda kind: _is_text(kind) if _is_text(ids) else pa.types.is_integer(kind),
        "action": _is_text,
        "date": lambda kind: pa.types.is_date(kind) or pa.types.is_timestamp(kind),
    }
    wanted = {"user_id": f"the scores have {ids}", "action": "text is needed", "date": "a date is needed"}
    for name in COLUMNS:
        if name not in kinds:
            problems.append(f"{file}: column {name}: is missing")
        elif not fits[name](kinds[name]):
            problems.append(f"{file}: column {name}: has type {kinds[name]}; {wanted[name]}")
    return parquet


def _batches(file: Path, parquet: pq.ParquetFile) -> Iterator[pa.Table]:
    for batch in batches_of(parquet, file, ROWS_PER_STEP, COLUMNS):
        days = _days(batch.column("date"))
        users = batch.column("user_id")
        users = users if pa.types.is_integer(users.type) else users.cast(pa.string())
        yield pa.table({"user_id": users, "action": batch.column("action").cast(pa.string()), "date": days})


def _days(dates: pa.Array) -> pa.Array:
    """The day where a time was read, in its own zone."""
    zone = getattr(dates.type, "tz", None)
    return (dates if zone is None else pc.local_timestamp(dates)).cast(pa.date32(), safe=False)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


class _Counting:
    """Adds up batch after batch what the caps count."""

    def __init__(self, scores: Scores, as_of: date, caps: Sequence[Cap | Need], numbering: Numbering):
        self.scores, self.as_of, self.caps, self.numbering = scores, as_of, caps, numbering
        most = max(cap.most for cap in caps if cap.days is not None)
        self.count_UC = np.zeros((len(numbering), len(caps)), np.min_scalar_type(most))
        self._waiting: list[tuple[pa.ChunkedArray, np.ndarray, np.ndarray]] = []

    def add(self, table: pa.Table, file: Path, faults: Counter[tuple[Path, str]]) -> None:
        """Users who are not in the scores and actions that are not in the catalogue are left out."""
        as_of = self.as_of
        later = pc.sum(pc.greater(table.column("date"), as_of)).as_py() or 0
        faults[file, f"date: {{}} rows are after the scores' as_of, {as_of}"] += later
        for name in COLUMNS:
            faults[file, f"{name}: {{}} rows are missing"] += table.column(name).null_count
        table = table.drop_null()
        age_N = (as_of - EPOCH).days - table.column("date").cast(pa.int32()).to_numpy().astype(np.int64)
        action_N = codes_of(table.column("action"), self.scores.catalogue.ids)
        recent_N = (action_N >= 0) & (age_N >= 0) & (age_N < max(cap.days or 0 for cap in self.caps))
        user_N = cast(table.column("user_id").filter(pa.array(recent_N)), self.numbering.type, f"{file}: user_id")
        self._waiting.append((user_N, action_N[recent_N], age_N[recent_N]))
        if sum(len(user_N) for user_N, _, _ in self._waiting) >= max(len(self.numbering), ROWS_PER_STEP):
            self.count()

    def count(self) -> None:
        """Counts what was added so far: about as many rows at a time as there are users."""
        if not self._waiting:
            return
        chunks = [chunk for user_N, _, _ in self._waiting for chunk in user_N.chunks]
        place_N = self.numbering.of(pa.chunked_array(chunks, self.numbering.type))
        action_N, age_N = (np.concatenate(each) for each in list(zip(*self._waiting, strict=True))[1:])
        self._waiting.clear()
        order_N = np.argsort(place_N, kind="stable")
        order_N = order_N[place_N[order_N] >= 0]
        self._count(place_N[order_N], action_N[order_N], age_N[order_N])

    def _count(self, place_N: np.ndarray, action_N: np.ndarray, age_N: np.ndarray) -> None:
        """Rows of users in the scores, sorted by them."""
        if not len(place_N):
            return
        first_u = np.flatnonzero(np.diff(place_N, prepend=-1))
        user_u = place_N[first_u]
        for position, cap in enumerate(self.caps):
            if cap.days is not None:
                counts_N = cap.scope_A[action_N] & (age_N < cap.days)
                total_u = self.count_UC[user_u, position] + np.add.reduceat(counts_N.astype(np.int64), first_u)
                self.count_UC[user_u, position] = np.minimum(total_u, cap.most)
