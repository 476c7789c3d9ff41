"""What tests on a synthetic market share: a small policy, scores made from the truth, and the contacts of an allocation."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ranker.scores import ScoresWriter, open_scores

Blur = Callable[[np.ndarray], np.ndarray]


def policy_of(objective: Mapping[str, float], holdout: float, exploration: float, *constraints: str) -> str:
    """A policy of two contacts per user at most; users are drawn by the salts h and e."""
    terms = [f"  - {{metric: {metric}, weight: {weight}}}" for metric, weight in objective.items()]
    rules = [f"  - {{{rule}}}" for rule in constraints]
    drawn = [f"  holdout: {{share: {holdout}, salt: h}}", f"  exploration: {{share: {exploration}, salt: e}}"]
    contact = ["contact:", "  - {id: total, max: 2}"]
    lines = ["version: 1", "objective:", *terms, "experiment:", *drawn, *contact, "constraints:", *rules]
    return "\n".join(lines) + "\n"


def write_truth_as_scores(truth: Path, out: Path, blur: Blur | None = None, rows: int | None = None) -> None:
    """Scores whose means are a market's truth, or that truth blurred; with `rows` in shards of so many users, last shard first."""
    out.mkdir()
    true = open_scores(truth)
    with ScoresWriter(out, true.catalogue) as writer:
        for shard in true.shards() if rows is None else reversed(list(true.shards(rows))):
            words = {name: np.array(true.vocabulary[name])[codes] for name, codes in shard.segments.items()}
            mean = shard.mean if blur is None else {name: blur(known_UA) for name, known_UA in shard.mean.items()}
            writer.write(shard.user_id, words, mean, eligible_UA=shard.eligible_UA)


def contacts_of(allocation: Path) -> pd.DataFrame:
    return pd.concat([pq.read_table(file).to_pandas() for file in sorted(allocation.glob("*.parquet"))])
