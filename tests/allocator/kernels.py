"""Compiles the kernels of the allocator once: `./scripts/test` runs it in a fresh checkout, before its workers would do so one by one."""

import contextlib
import tempfile
from pathlib import Path

from allocator.allocate import allocate
from allocator.infeasible.diagnosis import Infeasible
from allocator.solve.settings import SolveSettings
from ranker.scores import open_scores
from tests.allocator.instances import OBJECTIVE, random_rules, write_scores

USERS = 200
EXPERIMENT = """experiment:
  holdout: {share: 0.05, salt: h}
  exploration: {share: 0.1, salt: e}
"""
IMPOSSIBLE = """constraints:
  - {id: few, kind: volume, where: {surface: push}, max: 10}
  - {id: many, kind: volume, where: {surface: push}, min: 20}
"""


def main() -> None:
    """A week by prices, and one whose rules contradict each other."""
    with tempfile.TemporaryDirectory() as place:
        scores = open_scores(write_scores(Path(place) / "scores", USERS, 1))
        for rules in (EXPERIMENT + random_rules(1, USERS), IMPOSSIBLE):
            policy = Path(place) / "policy.yaml"
            policy.write_text(OBJECTIVE + rules)
            with contextlib.suppress(Infeasible):
                allocate(scores, policy, SolveSettings(method="prices"))


if __name__ == "__main__":
    main()
