"""The scores dataset: users are counted as a set would count them, and whatever is wrong with a file is told with its place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.scores import Catalogue, InputError, Metric, Scores, open_scores, write_catalogue

ACTIONS = ({"id": "home/duo", "slot": "home"}, {"id": "push/duo", "slot": "push"})


def write(path: Path, files: Sequence[pa.Array], **changed: pa.Array) -> Scores:
    """A dataset with a file per array of ids; changed: columns in place of those of the first file."""
    path.mkdir(exist_ok=True)
    write_catalogue(path / "catalogue.json", Catalogue(ACTIONS, (Metric("subs", "subscribers"),), ("market",)))
    for position, ids in enumerate(files):
        mean = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * len(ids)), pa.float32()), 2)
        columns = {"user_id": ids, "market": pa.array(["SE"] * len(ids), pa.string()), "mean_subs": mean}
        columns |= changed if position == 0 else {}
        pq.write_table(pa.table(columns), path / f"part-{position}.parquet")
    return open_scores(path)


def numbers(*ids: int | None) -> pa.Array:
    return pa.array(ids, pa.int64())


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("seed", range(4))
def test_users_who_stand_twice_or_have_no_id_are_counted(tmp_path: Path, kind: pa.DataType, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    plain = [[None if drawn.random() < 0.05 else int(x) for x in drawn.integers(-50, 60, size)] for size in (40, 1, 30)]
    ids = [x for part in plain for x in part]
    texts = pa.types.is_int64(kind) is False
    parts = [[x if x is None or not texts else f"user {x}" for x in part] for part in plain]
    scores = write(tmp_path, [pa.array(part, pa.string() if texts else kind).cast(kind) for part in parts])
    known = [x for x in ids if x is not None]
    with pytest.raises(InputError) as caught:
        scores.check_users()
    wanted = [f"{len(ids) - len(known)} of 71 rows are missing", f"{len(known) - len(set(known))} of 71 rows repeat"]
    assert all(count in problem for count, problem in zip(wanted, caught.value.problems, strict=True))


@pytest.mark.parametrize("files", [[(1, 2, 3), (4, 5)], [(5, 4), (3, -9, 2)], [(7,)], [()]])
def test_users_who_stand_once_pass_in_any_order(tmp_path: Path, files: list[tuple[int, ...]]) -> None:
    write(tmp_path, [numbers(*ids) for ids in files]).check_users()


def test_an_id_is_of_one_kind_in_all_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"part-1.parquet: column user_id: has type string here but int64 in part-0"):
        write(tmp_path, [numbers(1, 2), pa.array(["1"])])


def test_columns_of_another_type_are_all_told(tmp_path: Path) -> None:
    narrow = pa.FixedSizeListArray.from_arrays(pa.array([1.0], pa.float32()), 1)
    with pytest.raises(InputError) as caught:
        write(tmp_path, [numbers(1)], mean_subs=narrow, market=numbers(3))
    assert sorted(problem.split("column ")[1].split(":")[0] for problem in caught.value.problems) == [
        "market",
        "mean_subs",
    ]


def test_values_that_cannot_be_are_counted_by_file_and_column(tmp_path: Path) -> None:
    mean = pa.FixedSizeListArray.from_arrays(pa.array([1.0, np.nan, np.inf, 2.0, None, 0.0], pa.float32()), 2)
    scores = write(tmp_path, [numbers(1, 2, 3), numbers(4)], mean_subs=mean)
    with pytest.raises(InputError) as caught:
        list(scores.shards(2))
    assert [problem.split("part-0.parquet: ")[1].split(";")[0] for problem in caught.value.problems] == [
        "column mean_subs: 1 entries are missing",
        "column mean_subs: 2 entries are not finite",
    ]
