"""An allocation is read for judging, or what is wrong with it is told."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.evaluate.allocated import read_allocation
from ranker.files import InputError


def test_ids_beyond_the_largest_are_told_and_others_are_read(tmp_path: Path) -> None:
    for most in (2**63 - 1, 2**64 - 1):
        ids = pa.array([1, most], pa.uint64())
        pq.write_table(pa.table({"user_id": ids, "action": ["a", "b"]}), tmp_path / "part.parquet")
        if most < 2**63:
            assert read_allocation(tmp_path)["user_id"].tolist() == [1, most]
    with pytest.raises(InputError, match=r"part\.parquet: column user_id: 1 of 2 rows are numbers above 2\^63"):
        read_allocation(tmp_path)
