"""Frontiers against allocations at the same bounds: values, gaps, the bend, and what cannot be kept left out."""

from pathlib import Path

import pytest

from allocator.allocate import allocate
from allocator.workbench.answers import FRONTIER, Frontier
from allocator.workbench.frontier import frontier
from allocator.workbench.session import Session
from ranker.files import InputError
from ranker.scores import open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

RULES = (
    OBJECTIVE
    + CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 60}
"""
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    scores = open_scores(write_scores(tmp_path_factory.mktemp("frontier") / "scores", 2_000, 3))
    with Session.open(scores, 800) as opened:
        yield opened


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_points_are_what_the_policy_gives_at_their_bounds(
    session: Session, file: Path, full: bool, tmp_path: Path
) -> None:
    found = frontier(session, session.read(file, {}), "budget", "value", 4, full)
    assert [point.x for point in found.points] == sorted(point.x for point in found.points)
    assert found.current is not None
    assert found.points[found.current].change == {}
    assert found.points[found.current].x == pytest.approx(60, rel=1e-3)
    point = found.points[1]
    made = allocate(session.scores, file, changes=point.change).certificate
    assert point.value == pytest.approx(made.value, rel=2e-5 if full else 0.1)
    assert abs(point.value - made.value) <= 4 * point.value_se + 2e-5 * made.value
    assert point.y == point.value
    if full:
        assert all(0 <= each.gap <= 1e-3 for each in found.points)
        assert all(each.value_se == 0 for each in found.points)
    (tmp_path / FRONTIER).write_text(found.text())
    assert Frontier.from_file(tmp_path / FRONTIER) == found


def test_a_metric_without_a_rule_gets_one_and_value_bends(session: Session, file: Path) -> None:
    found = frontier(session, session.read(file, {}), "opt_out", "value", 7)
    assert all(set(point.change) <= {"frontier_x"} for point in found.points)
    assert found.knee is not None
    below = found.points[: (found.current or 0) + 1]
    assert [point.value for point in below] == sorted(point.value for point in below), "fewer opt-outs cost value"
    assert found.sentence.startswith("From opt_out ")


def test_what_has_no_bound_to_move_is_refused(session: Session, file: Path) -> None:
    base = session.read(file, {})
    with pytest.raises(InputError, match="x: is the value"):
        frontier(session, base, "value", "revenue", 3)
    with pytest.raises(InputError, match="no constraint or metric 'budgets'; did you mean 'budget'"):
        frontier(session, base, "budgets", "value", 3)


def test_a_way_ends_where_another_rule_stands(session: Session, tmp_path: Path) -> None:
    rule = "  - {id: shown, kind: volume, where: {surface: home}, min: 30%}\n"
    (tmp_path / "policy.yaml").write_text(RULES + rule)
    base = session.read(tmp_path / "policy.yaml", {})
    told: list[str] = []
    with Session.open(session.scores, 800, tell=told.append) as telling:
        found = frontier(telling, base, "contacts", "value", 6)
    assert found.points[0].x == pytest.approx(600, rel=0.15), "no fewer contacts than are shown on home at least"
    assert [point.x for point in found.points] == sorted(point.x for point in found.points)
    assert told.count("how far contacts can go") == 1
    wanted = [each.change["frontier_x"] for each in found.points if each.change]
    kept = [
        point.x <= change["max"] * (1 + 1e-3) if "max" in change else point.x >= change["min"] * (1 - 1e-3)
        for point, change in zip([each for each in found.points if each.change], wanted, strict=True)
    ]
    assert all(kept)
