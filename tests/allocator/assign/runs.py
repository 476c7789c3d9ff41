"""What a run left behind: its rows, its policy, and what the judge says once the rows are bent."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from allocator.audit.judge import audit
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from ranker.scores import open_scores


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(file) for file in sorted(folder.glob("*.parquet")))


def policy_of(folder: Path) -> Policy:
    scores = open_scores(folder / "scores")
    return policy_for(folder / "policy.yaml", {}, scores)


def failures_once_bent(folder: Path, bend: Callable[[pd.DataFrame], pd.DataFrame]) -> set[str]:
    """The names of the checks that fail with the rows bent, where none failed before."""
    policy = policy_of(folder)
    assert audit(folder / "scores", policy, folder / "out").clean
    bend(rows_of(folder / "out").reset_index(drop=True)).to_parquet(folder / "out" / "part-00000.parquet")
    return {check.name for check in audit(folder / "scores", policy, folder / "out").failures}
