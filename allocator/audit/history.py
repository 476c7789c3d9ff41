"""What users have received on earlier days: the dataset `history/` inside the scores, as far as contact rules count it.

Axes: U all users of the scores sorted by id, u some of them, N rows of the history, A actions, C contact caps.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.audit.rows import ROWS_PER_STEP, codes_of, comparable, type_of_ids
from allocator.audit.scope import Cap, Need
from ranker.scores import InputError, Scores

COLUMNS = ("user_id", "action", "date")
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Received:
    """How many earlier contacts each cap counts, then each need, for every user of the scores.

    user_U: ids. count_UC: of the smallest unsigned type, and no more than matter; 0 for what counts this run alone.
    """

    user_U: np.ndarray
    count_UC: np.ndarray

    def of(self, user_u: np.ndarray) -> np.ndarray:
        """[u, C]: the counts of these users, who are in the scores."""
        return self.count_UC[np.searchsorted(self.user_U, user_u)]


def read_received(scores: Scores, caps: Sequence[Cap | Need]) -> Received | None:
    """Streams the history where a cap or a need counts it: then a number per user and cap is held, however long the history is.

    InputError lists everything wrong with it.
    """
    rules = list(dict.fromkeys(cap.rule for cap in caps if cap.days is not None))
    if not rules:
        return None
    files = sorted((scores.path / "history").glob("*.parquet"))
    problems = list(_lacking(scores, files, rules))
    opened = [_open(file, scores, problems) for file in files]
    if problems:
        raise InputError(problems)
    counting = _Counting(scores, caps)
    faults: Counter[tuple[Path, str]] = Counter()
    for file, parquet in zip(files, opened, strict=True):
        for table in _batches(file, parquet):
            counting.add(table, file, faults)
    if any(faults.values()):
        raise InputError([f"{file}: column {fault.format(f'{n:,}')}" for (file, fault), n in faults.items() if n])
    return Received(counting.user_U, counting.count_UC)


def _lacking(scores: Scores, files: Sequence[Path], rules: Sequence[str]) -> Iterator[str]:
    named = f"the policy counts contacts of earlier days (rule {', '.join(rules)})"
    if scores.catalogue.as_of is None:
        yield f"{scores.path / 'catalogue.json'}: as_of: {named}, and there is no day to count back from"
    if not files:
        yield f"{named}, and {scores.path / 'history'} has no *.parquet files"


def _open(file: Path, scores: Scores, problems: list[str]) -> pq.ParquetFile | None:
    """The file; what is wrong with its columns goes to `problems`."""
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        problems.append(f"{file}: is not a readable Parquet file ({type(error).__name__})")
        return None
    kinds = {field.name: field.type for field in parquet.schema_arrow}
    ids = type_of_ids(scores)
    fits = {
        "user_id": lambda kind: _is_text(kind) if _is_text(ids) else pa.types.is_integer(kind),
        "action": _is_text,
        "date": pa.types.is_date32,
    }
    wanted = {"user_id": f"the scores have {ids}", "action": "text is needed", "date": "date32 is needed"}
    for name in COLUMNS:
        if name not in kinds:
            problems.append(f"{file}: column {name}: is missing")
        elif not fits[name](kinds[name]):
            problems.append(f"{file}: column {name}: has type {kinds[name]}; {wanted[name]}")
    return parquet


def _batches(file: Path, parquet: pq.ParquetFile) -> Iterator[pa.Table]:
    try:
        for batch in parquet.iter_batches(ROWS_PER_STEP, columns=list(COLUMNS)):
            yield pa.table(batch)
    except (pa.ArrowException, OSError) as error:
        raise InputError([f"{file}: the rows cannot be read ({type(error).__name__})"]) from None


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


class _Counting:
    """Adds up batch after batch what the caps count."""

    def __init__(self, scores: Scores, caps: Sequence[Cap | Need]):
        self.scores, self.caps = scores, caps
        most = max(cap.most for cap in caps if cap.days is not None)
        self.user_U = _sorted_ids(scores)
        self.count_UC = np.zeros((len(self.user_U), len(caps)), np.min_scalar_type(most))

    def add(self, table: pa.Table, file: Path, faults: Counter[tuple[Path, str]]) -> None:
        """Users who are not in the scores and actions that are not in the catalogue are left out."""
        as_of = self.scores.catalogue.as_of
        later = pc.sum(pc.greater(table.column("date"), as_of)).as_py() or 0
        faults[file, f"date: {{}} rows are after the scores' as_of, {as_of}"] += later
        for name in COLUMNS:
            faults[file, f"{name}: {{}} rows are missing"] += table.column(name).null_count
        table = table.drop_null()
        age_N = (as_of - EPOCH).days - table.column("date").cast(pa.int32()).to_numpy().astype(np.int64)
        action_N = codes_of(table.column("action"), self.scores.catalogue.ids)
        recent_N = (action_N >= 0) & (age_N >= 0) & (age_N < max(cap.days or 0 for cap in self.caps))
        user_N = comparable(table.filter(pa.array(recent_N)).column("user_id"))
        order_N = np.argsort(user_N, kind="stable")
        self._count(user_N[order_N], action_N[recent_N][order_N], age_N[recent_N][order_N])

    def _count(self, user_N: np.ndarray, action_N: np.ndarray, age_N: np.ndarray) -> None:
        """Rows sorted by user."""
        place_N = np.minimum(np.searchsorted(self.user_U, user_N), len(self.user_U) - 1)
        known_N = self.user_U[place_N] == user_N
        place_N, action_N, age_N = place_N[known_N], action_N[known_N], age_N[known_N]
        if not len(place_N):
            return
        first_u = np.flatnonzero(np.diff(place_N, prepend=-1))
        user_u = place_N[first_u]
        for position, cap in enumerate(self.caps):
            if cap.days is not None:
                counts_N = cap.scope_A[action_N] & (age_N < cap.days)
                total_u = self.count_UC[user_u, position] + np.add.reduceat(counts_N.astype(np.int64), first_u)
                self.count_UC[user_u, position] = np.minimum(total_u, cap.most)


def _sorted_ids(scores: Scores) -> np.ndarray:
    parts = [comparable(pq.ParquetFile(file).read(columns=["user_id"]).column(0)) for file in scores.files]
    user_U = np.concatenate(parts)
    parts.clear()
    if (user_U[1:] < user_U[:-1]).any():
        user_U.sort()
    return user_U
