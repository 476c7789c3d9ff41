"""A synthetic market's truth about the users of the scores, in their order.

Axes: U users, P planes, A actions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from allocator.problem import Problem
from allocator.users import Data
from ranker.files import InputError
from ranker.market.truth import MarketTruth, logging_chances, read_users, read_world, spoiled_before
from ranker.scores import Scores, open_scores


@dataclass(frozen=True)
class Truth:
    """What the judge knows, in the order of the scores' users. given: name -> [U, P, A]; the rest as in ranker.market.truth."""

    world: MarketTruth
    given: Mapping[str, np.ndarray]
    spoiled_UA: np.ndarray
    chance_UA: np.ndarray


def read_truth(market: Path, problem: Problem, data: Data) -> Truth:
    """The market's truth about the users of the scores; InputError where it is about others, or about other offers or metrics."""
    world = read_world(market)
    users = read_users(world)
    problems = []
    if world.catalogue.ids != problem.catalogue.ids:
        problems.append(f"{market}: has other actions than the scores")
    order_U = pd.Index(users["user_id"].astype(str)).get_indexer(data.user_id.astype(str))
    if (order_U < 0).any():
        problems.append(f"{market}: lacks {int((order_U < 0).sum()):,} of the {len(data):,} users of the scores")
    if problems:
        raise InputError(problems)
    users = users.iloc[order_U].reset_index(drop=True)
    given = {
        name: _planes(open_scores(market / "truth" / name), problem, data) for name in ("given_observed", "given_all")
    }
    return Truth(world, given, spoiled_before(world, users), logging_chances(world, users))


def _planes(true: Scores, problem: Problem, data: Data) -> np.ndarray:
    """float32[U, P, A]: the truth in place of the scores' planes; it has no standard errors."""
    lacking = {metric for _, metric in problem.planes} - {metric.name for metric in true.catalogue.metrics}
    if lacking:
        raise InputError([f"{true.path}: does not know the metric {name}" for name in sorted(lacking)])
    ids, means = [], {metric: [] for _, metric in problem.planes}
    for shard in true.shards(planes=[("mean", metric) for metric in means]):
        ids.append(shard.user_id.to_numpy(zero_copy_only=False))
        for metric, parts in means.items():
            parts.append(shard.mean[metric])
    order_U = pd.Index(np.concatenate(ids).astype(str)).get_indexer(data.user_id.astype(str))
    if (order_U < 0).any():
        raise InputError([f"{true.path}: lacks {int((order_U < 0).sum()):,} of the {len(data):,} users of the scores"])
    planes_UPA = np.zeros((len(data), len(problem.planes), len(problem.catalogue.actions)), np.float32)
    for position, (kind, metric) in enumerate(problem.planes):
        if kind == "mean":
            planes_UPA[:, position] = np.concatenate(means[metric])[order_U]
    return planes_UPA
