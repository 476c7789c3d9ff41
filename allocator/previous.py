"""What an earlier allocation gave: its contacts counted over this week's users, for the constraints that compare with it.

Axes: U users, N contacts of the earlier allocation, A actions, S user classes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.scores import InputError, Scores, Shard


def contacts_before(
    scores: Scores, previous: Path | None, class_of: Callable[[Shard], np.ndarray], classes: int
) -> np.ndarray:
    """int64[S, A]: earlier contacts of users who are in the scores, by the class they are in now.

    Contacts of users and of actions that are gone are left out. Raises InputError where there is nothing to count.
    """
    if previous is None:
        raise InputError(["policy: a constraint of kind change needs previous=, the allocation to compare with"])
    actions = len(scores.catalogue.actions)
    user_N, action_N = _read(previous, scores)
    count_SA = np.zeros(classes * actions, np.int64)
    for shard in scores.shards(check=False, metrics=()):
        user_U = comparable(shard.user_id)
        first_U = np.searchsorted(user_N, user_U, "left")
        had_U = np.searchsorted(user_N, user_U, "right") - first_U
        offset_n = np.arange(had_U.sum()) - np.repeat(np.cumsum(had_U) - had_U, had_U)
        action_n = action_N[np.repeat(first_U, had_U) + offset_n]
        class_n = np.repeat(class_of(shard).astype(np.int64), had_U)
        count_SA += np.bincount(class_n * actions + action_n, minlength=len(count_SA))
    return count_SA.reshape(classes, actions)


def comparable(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Ids as an array that sorts: int64, or numpy's strings."""
    if pa.types.is_integer(ids.type):
        return ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def _read(previous: Path, scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """User and action (its position in this week's catalogue) of the earlier contacts, sorted by user."""
    files = sorted(previous.glob("*.parquet"))
    if not files:
        raise InputError([f"{previous}: there are no *.parquet files; previous= names an earlier allocation"])
    try:
        table = pa.concat_tables([pq.ParquetFile(file).read(columns=["user_id", "action"]) for file in files])
    except (pa.ArrowException, OSError) as error:
        raise InputError([f"{previous}: the rows cannot be read ({type(error).__name__})"]) from None
    if table.column_names != ["user_id", "action"]:
        raise InputError([f"{previous}: the rows lack user_id or action; previous= names an earlier allocation"])
    wanted = pq.ParquetFile(scores.files[0]).schema_arrow.field("user_id").type
    kind = table.schema.field("user_id").type
    if pa.types.is_integer(kind) != pa.types.is_integer(wanted):
        raise InputError([f"{previous}: column user_id: has type {kind}; the scores have {wanted}"])
    found = pc.index_in(table.column("action").cast(pa.string()), pa.array(scores.catalogue.ids, pa.string()))
    table = pa.table({"user_id": table.column("user_id"), "action": found}).drop_null()
    user_N = comparable(table.column("user_id"))
    order_N = np.argsort(user_N, kind="stable")
    return user_N[order_N], table.column("action").to_numpy()[order_N].astype(np.int64)
