"""Small random problems for the allocator's tests: scores on disk, a policy over them, and everything compiled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from allocator.assign.exploration import explore
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.solve.dual import Users
from allocator.solve.solver import free_users
from allocator.users import Data, load_data
from ranker.catalogue import Catalogue, Interference, Metric
from ranker.scores import Scores, ScoresWriter, open_scores

SLOTS = (
    ("home_1", "home", "discovery"),
    ("push_1", "push", "messaging"),
    ("picker_1", "plan_picker", "consideration"),
    ("picker_2", "plan_picker", "consideration"),
)
PRODUCTS = (("duo", "plan", 6.0), ("family", "plan", 9.0), ("books", "other", 0.0))
MARKETS = ("DE", "NO", "SE")
AS_OF = date(2026, 11, 23)

OBJECTIVE = """version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 12.0}
  - {metric: opt_out, weight: -25.0}
"""


@dataclass(frozen=True)
class Case:
    """A problem with its users, ready to solve."""

    scores: Scores
    policy: Policy
    problem: Problem
    data: Data
    explored: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def users(self) -> Users:
        return free_users(self.problem, self.data, self.explored[:2])


def catalogue(products: Sequence[tuple[str, str, float]] = PRODUCTS, slots: Sequence[tuple] = SLOTS) -> Catalogue:
    actions = [
        {"id": f"{slot}/{product}", "slot": slot, "surface": surface, "surface_kind": kind}
        | {"product": product, "family": family, "discount_eur": discount}
        for slot, surface, kind in slots
        for product, family, discount in products
    ]
    metrics = (Metric("subs", "subscribers"), Metric("revenue", "EUR"), Metric("opt_out", "opt-outs"))
    return Catalogue(tuple(actions), metrics, ("market",), "test", AS_OF)


def write_scores(
    path: Path,
    users: int,
    seed: int,
    *,
    words: bool = False,
    stderr: bool = False,
    interference: Interference | None = None,
    **shape: Sequence,
) -> Path:
    """Random scores: sparse subscriptions, revenue that follows them, opt-outs that hurt, seven in ten actions eligible."""
    generator = np.random.default_rng(seed)
    head = replace(catalogue(**shape), interference=interference)
    size = (users, len(head.actions))
    subs = (0.01 * generator.gamma(1.0, 1.0, size)).astype(np.float32)
    revenue = (subs * generator.uniform(5, 40, size) - 0.02 * generator.random(size)).astype(np.float32)
    opt_out = (0.002 * generator.random(size)).astype(np.float32)
    means = {"subs": subs, "revenue": revenue, "opt_out": opt_out}
    spread = {name: np.abs(values) * 0.3 for name, values in means.items()} if stderr else None
    ids = pa.array([f"user-{i}" for i in range(users)]) if words else pa.array(np.arange(users) * 7 + 3)
    market = pa.array(np.array(MARKETS)[generator.integers(len(MARKETS), size=users)])
    path.mkdir(parents=True, exist_ok=True)
    with ScoresWriter(path, head) as writer:
        writer.write(ids, {"market": market}, means, spread, generator.random(size) < 0.7)
    return path


def make_case(
    path: Path,
    users: int,
    seed: int,
    rules: str,
    *,
    previous: Path | None = None,
    history: pa.Table | None = None,
    **options: object,
) -> Case:
    """Scores, and a policy that is OBJECTIVE followed by `rules`; `history` goes beside the scores."""
    scores = open_scores(write_scores(path / "scores", users, seed, **options))
    if history is not None:
        (path / "scores" / "history").mkdir()
        pq.write_table(history, path / "scores" / "history" / "part.parquet")
    file = path / "policy.yaml"
    file.write_text(OBJECTIVE + rules)
    policy = policy_for(file, {}, scores, previous=previous is not None)
    problem = build_problem(scores, policy, previous)
    data = load_data(problem, scores)
    return Case(scores, policy, problem, data, explore(problem, data))


CONTACT = """contact:
  - {id: total, max: 2}
  - {id: push, max: 1, where: {surface: push}}
  - {id: once_each, max: 1, each: product}
"""


def random_rules(seed: int, users: int) -> str:
    """Contact rules and a handful of constraints of all kinds that can hold together."""
    generator = np.random.default_rng([seed, 17])
    low, high = sorted(generator.uniform(0.2, 0.8, 2))
    lines = [
        f"  - {{id: push_cap, kind: volume, where: {{surface: push}}, max: {generator.integers(5, 40)}%}}",
        f"  - {{id: books, kind: volume, where: {{product: books}}, users: {{market: [SE, NO]}}, min: {generator.integers(5, 25)}%}}",
        f"  - {{id: budget, kind: total, metric: subs, times: discount_eur, max: {users * generator.uniform(0.02, 0.1):.6f}}}",
        f"  - {{id: plans, kind: share, where: {{family: plan}}, of: {{surface_kind: discovery}}, min: {low:.2f}, max: {high:.2f}}}",
        f"  - {{id: opt_outs, kind: average, metric: opt_out, max: {generator.uniform(0.0008, 0.0015):.6f}}}",
        f"  - {{id: roi, kind: ratio, metric: revenue, per: {{metric: subs, times: discount_eur}}, min: {generator.uniform(1, 4):.4f}}}",
        f"  - {{id: nudge, kind: volume, where: {{product: duo}}, min: 30%, strength: {{soft: {generator.uniform(0, 0.2):.4f}}}}}",
        "  - {id: seen, kind: volume, where: {surface: plan_picker}, max: 1, strength: report_only}",
    ]
    chosen = [line for line in lines if generator.random() < 0.7]
    return CONTACT + ("constraints:\n" + "\n".join(chosen) + "\n" if chosen else "")
