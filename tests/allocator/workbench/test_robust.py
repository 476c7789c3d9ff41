"""A winner that changes with how far the scores are believed is flagged, and what a rule costs is what leaving it out brings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import allocate
from allocator.workbench.robust import cost_of_rules, robustness
from allocator.workbench.session import Session
from ranker.scores import Scores, open_scores, write_frame
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

POLICY = {"version": 1, "objective": [{"metric": "rev", "weight": 1.0}]}


def two_offers(folder: Path, sure: float, unsure: float, stderr: float) -> Scores:
    """Everybody may have `sure`, known exactly, or `unsure`, in one slot."""
    actions = [{"id": name, "slot": "s"} for name in ("sure", "unsure")]
    catalogue = {
        "actions": actions,
        "metrics": [{"name": "rev", "unit": "EUR"}],
        "segments": [],
        "model_id": "m",
        "as_of": None,
    }
    users = 200
    frame = pd.DataFrame(
        {
            "user_id": np.arange(users),
            "mean_rev": [np.array([sure, unsure], np.float32)] * users,
            "stderr_rev": [np.array([0.0, stderr], np.float32)] * users,
        }
    )
    folder.mkdir()
    return write_frame(folder, catalogue, frame)


def only(action: str) -> dict:
    other = {"sure": "unsure", "unsure": "sure"}[action]
    return {**POLICY, "contact": [{"id": "without", "max": 0, "where": {"id": other}}]}


def test_a_winner_that_depends_on_believing_the_scores_is_flagged(tmp_path: Path) -> None:
    with Session.open(two_offers(tmp_path / "scores", 1.0, 1.4, 0.6)) as session:
        base, new = (session.read(only(action), {}) for action in ("sure", "unsure"))
        found = robustness(session, base, new)
    assert [verdict.value.mean for verdict in found.verdicts] == pytest.approx([80.0, 20.0, -40.0], rel=1e-3)
    assert found.winner_changes
    assert found.sentence.startswith("Which policy is worth more depends on")


def test_a_winner_by_every_view_is_said_to_be_one(tmp_path: Path) -> None:
    with Session.open(two_offers(tmp_path / "scores", 1.0, 1.4, 0.1)) as session:
        base, new = (session.read(only(action), {}) for action in ("sure", "unsure"))
        found = robustness(session, base, new)
        assert not found.winner_changes
        assert found.sentence == "By every view of the scores the new policy is worth more."
        with Session.open(two_offers(tmp_path / "last_week", 1.0, 0.7, 0.1)) as other:
            assert robustness(session, base, new, other).winner_changes


def test_what_a_rule_costs_is_what_leaving_it_out_brings(tmp_path: Path) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 1_500, 3))
    file = tmp_path / "policy.yaml"
    file.write_text(
        OBJECTIVE
        + CONTACT
        + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 10%}
  - {id: books, kind: volume, where: {product: books}, min: 120%}
  - {id: loose, kind: volume, where: {product: duo}, max: 500%}
"""
    )
    made = allocate(scores, file).certificate
    with Session.open(scores) as session:
        found = cost_of_rules(session, session.read(file, {}))
    assert (found["loose"].mean, found["loose"].se) == (0.0, 0.0)
    for name in ("push_cap", "books"):
        without = allocate(scores, file, changes={name: None}).certificate
        assert found[name].mean == pytest.approx(without.value - made.value, abs=4 * found[name].se + 1e-4 * made.value)
        assert found[name].mean > 0
