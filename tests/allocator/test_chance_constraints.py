"""Constraints that hold with a certainty, against every allocation of small instances, and in larger ones by their certificates."""

import json
import shutil
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import Allocation, allocate
from allocator.audit.judge import audit
from allocator.errors_of_sums import ErrorModel
from allocator.infeasible.diagnosis import Infeasible
from ranker.files import InputError
from ranker.scores import Scores, write_frame

Z = NormalDist().inv_cdf(0.9)


def write(
    path: Path, users: int, actions: int, correlation: float, seed: int, slots: int = 1, groups: str | None = None
) -> tuple[Scores, dict]:
    """Random scores of two metrics, and their means and standard errors."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"user_id": np.arange(users), "branch": [f"b{k}" for k in rng.integers(2, size=users)]})
    planes = {}
    for metric in ("rev", "risk"):
        mean_UA, stderr_UA = (rng.gamma(1, size, (users, actions)).astype(np.float32) for size in (1, 0.3))
        planes[metric] = (mean_UA.astype(float), stderr_UA.astype(float))
        frame[f"mean_{metric}"], frame[f"stderr_{metric}"] = list(mean_UA), list(stderr_UA)
    catalogue = {
        "actions": [
            {"id": f"a{k}", "slot": f"s{k % slots}", "product": "xyz"[k % 3], "kind": "pq"[k % 2]}
            for k in range(actions)
        ],
        "metrics": [
            {"name": "rev", "unit": "EUR"},
            {"name": "risk", "unit": "risks", "error_correlation": correlation},
        ],
        "segments": ["branch"],
        "model_id": "m",
        "as_of": "2026-11-23",
    } | ({} if groups is None else {"error_groups": groups})
    path.mkdir()
    return write_frame(path, catalogue, frame), planes


def policy(*rules: Mapping, **more: object) -> dict:
    return {"version": 1, "objective": [{"metric": "rev", "weight": 1.0}], "constraints": list(rules), **more}


def stderr(load_A: np.ndarray, correlation: float, group_A: np.ndarray | None = None) -> float:
    """By the covariance matrix, written out: 1 within a group, the correlation between two; by default each action is one."""
    groups = np.arange(len(load_A)) if group_A is None else group_A
    matrix = np.where(groups[:, None] == groups, 1.0, correlation)
    return float(np.sqrt(max(load_A @ matrix @ load_A, 0.0)))


def test_the_standard_error_of_a_sum_is_that_of_the_covariance_matrix() -> None:
    loads, groups = {0: np.array([1.0, -2.0, 0.5]), 1: np.array([3.0, 0.0, 1.0])}, np.array([0, 1, 0])
    wanted = np.hypot(stderr(loads[0], 0.3, groups), stderr(loads[1], 0.0, groups))
    assert ErrorModel({0: 0.3, 1: 0.0}, groups).stderr_of(loads) == pytest.approx(wanted, rel=1e-12)


def test_no_gradient_charges_more_than_the_standard_error() -> None:
    """A norm is the largest of its tangents."""
    rng = np.random.default_rng(0)
    errors = ErrorModel({0: 0.4, 1: 1.0}, np.array([0, 1, 1, 2, 0]))
    for _ in range(200):
        here, there = ({k: rng.normal(size=5) for k in errors.correlation} for _ in range(2))
        gradient, own = errors.gradient_at(there), errors.gradient_at(here)
        assert sum(float(gradient[k] @ here[k]) for k in here) <= errors.stderr_of(here) + 1e-12
        assert sum(float(own[k] @ here[k]) for k in here) == pytest.approx(errors.stderr_of(here))


@pytest.mark.parametrize("side", ["max", "min"])
@pytest.mark.parametrize("kind", ["total", "average", "ratio"])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_the_best_of_all_allocations_is_found(kind: str, side: str, correlation: float, tmp_path: Path) -> None:
    """Six users, three actions in two groups: all 4,096 allocations, the error of each by its covariance matrix."""
    users, actions = 6, 3
    grouped = "kind" if correlation == 0.3 else None
    seed, group_A = int(10 * correlation), np.array([0, 1, 0] if grouped else [0, 1, 2])
    scores, planes = write(tmp_path / "scores", users, actions, correlation, seed, groups=grouped)
    (value_UA, value_error_UA), (risk_UA, error_UA) = planes["rev"], planes["risk"]
    usual = {"total": 0.6 * users * risk_UA.mean(), "average": risk_UA.mean(), "ratio": 0.9}[kind]
    bound = round(0.8 * float(usual), 3)
    rule = {"id": "risk", "kind": kind, "metric": "risk", side: bound, "certainty": "90%"}
    if kind == "ratio":
        rule["per"] = {"metric": "rev"}

    def keeps(user_N: np.ndarray, action_N: np.ndarray) -> bool:
        value = value_UA[user_N, action_N].sum()
        load_A = np.bincount(action_N, error_UA[user_N, action_N], actions)
        margin = Z * stderr(load_A, correlation, group_A)
        if kind == "ratio":
            other_A = bound * np.bincount(action_N, value_error_UA[user_N, action_N], actions)
            margin = np.hypot(margin, Z * stderr(other_A, 0.0, group_A))
        limit = bound * {"total": 1.0, "average": len(user_N), "ratio": value}[kind]
        sum_ = risk_UA[user_N, action_N].sum()
        return bool(sum_ + margin <= limit + 1e-9 if side == "max" else sum_ - margin >= limit - 1e-9)

    best = -np.inf
    for chosen in product(range(-1, actions), repeat=users):
        user_N = np.flatnonzero(np.array(chosen) >= 0)
        action_N = np.array(chosen)[user_N]
        if keeps(user_N, action_N):
            best = max(best, value_UA[user_N, action_N].sum())
    if best == -np.inf:
        with pytest.raises(Infeasible):
            allocate(scores, policy(rule))
        return
    held = allocate(scores, policy(rule)).certificate
    assert held.value == pytest.approx(best, abs=1e-6)
    assert held.bound is not None
    assert held.bound >= best - 1e-6


EVERYTHING = {
    "experiment": {"exploration": {"share": 0.05, "salt": "a"}, "holdout": {"share": 0.02, "salt": "h"}},
    "fallback": {"action": ["a0", "a1"]},
}


@pytest.mark.parametrize("seed", [1, 4])
def test_a_week_with_all_kinds_of_certainty_is_audited_and_near_the_best(seed: int, tmp_path: Path) -> None:
    users = 3_000
    scores, planes = write(tmp_path / "scores", users, 12, 0.3, seed, slots=2)
    mean = planes["risk"][0].mean()
    soft = {"id": "soft", "kind": "total", "metric": "risk", "where": {"product": "x"}, "min": 0.3 * mean * users}
    rules = [
        {"id": "total", "kind": "total", "metric": "risk", "max": 0.8 * mean * users, "certainty": "90%"},
        {"id": "roi", "kind": "ratio", "metric": "rev", "per": {"metric": "risk"}, "min": 1.3, "certainty": 0.8},
        {"id": "rate", "kind": "average", "metric": "risk", "users": {"branch": "b0"}, "max": 1.1, "certainty": 0.95},
        {**soft, "certainty": 0.7, "strength": {"soft": 0.2}},
    ]
    made = allocate(scores, policy(*rules, **EVERYTHING))
    held = {each.id: each for each in made.certificate.constraints}
    assert made.audit.clean
    assert made.certificate.gap is not None
    assert made.certificate.gap < 1e-4
    total = held["total"]
    assert total.achieved is not None
    assert total.se is not None
    assert total.achieved + Z * total.se <= 0.8 * mean * users + 1e-6, "the mean and its margin stay within the bound"
    assert total.slack == pytest.approx(0.8 * mean * users - total.achieved - Z * total.se, abs=1e-3)
    assert total.binding == "max"


@pytest.mark.slow
def test_two_actions_with_errors_of_their_own_are_mixed(tmp_path: Path) -> None:
    """All in one action has the error 1 per contact, half in each 0.71: the linearised rows must not go to and fro."""
    users = 400
    frame = pd.DataFrame({"user_id": np.arange(users)})
    rng = np.random.default_rng(3)
    mean_UA = (1 + 1e-3 * rng.random((users, 2))).astype(np.float32)
    frame["mean_rev"], frame["stderr_rev"] = list(mean_UA), list(np.ones((users, 2), np.float32))
    catalogue = {
        "actions": [{"id": "a", "slot": "s"}, {"id": "b", "slot": "s"}],
        "metrics": [{"name": "rev", "unit": "EUR"}],
    }
    (tmp_path / "scores").mkdir()
    scores = write_frame(tmp_path / "scores", {**catalogue, "segments": [], "model_id": "m", "as_of": None}, frame)
    rule = {"id": "most", "kind": "total", "metric": "rev", "max": 300.0, "certainty": "90%"}
    made = allocate(scores, policy(rule))
    counts = made.contacts()["action"].value_counts()
    contacts = 300 / (1 + Z / np.sqrt(2))
    assert counts.sum() == pytest.approx(contacts, abs=2), "n contacts, half in each action: n + z n / sqrt(2) <= 300"
    assert abs(counts["a"] - counts["b"]) <= 0.1 * contacts
    assert made.certificate.gap is not None
    assert made.certificate.gap < 0.01


@pytest.mark.slow
def test_what_repairs_a_contradiction_can_be_solved(tmp_path: Path) -> None:
    scores, planes = write(tmp_path / "scores", 60, 4, 0.3, seed=5)
    most = planes["risk"][0].max(axis=1).sum()
    rules = [
        {"id": "most", "kind": "total", "metric": "risk", "max": 0.3 * most, "certainty": "90%"},
        {"id": "least", "kind": "total", "metric": "risk", "min": 0.295 * most, "certainty": "90%"},
    ]
    with pytest.raises(Infeasible) as raised:
        allocate(scores, policy(*rules))
    repairs = raised.value.diagnosis.repairs
    assert set(raised.value.diagnosis.conflict) == {"most", "least"}
    assert repairs
    changed = [{**rule, **repairs[0].changes.get(str(rule["id"]), {})} for rule in rules]
    assert allocate(scores, policy(*changed)).audit.clean


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"certainty": 90}, "not 90; did you mean 90%?"),
        ({"certainty": "40%"}, "a certainty is at least 50% and below 100%"),
        ({"certainty": 1.0}, "a certainty is at least 50% and below 100%"),
        ({"certainty": True}, "not true"),
        ({"metric": None, "times": "cost", "certainty": "90%"}, "is for what the model estimates"),
    ],
)
def test_a_certainty_that_makes_no_sense_is_refused(words: Mapping, said: str, tmp_path: Path) -> None:
    scores, _ = write(tmp_path / "scores", 10, 2, 0.0, seed=0)
    rule = {"id": "c", "kind": "total", "metric": "risk", "max": 1.0, **words}
    with pytest.raises(InputError, match="constraints") as raised:
        allocate(scores, policy({key: value for key, value in rule.items() if value is not None}))
    assert said in str(raised.value)


def test_scores_without_standard_errors_cannot_carry_a_certainty(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "mean_rev": [[1.0], [2.0]]})
    catalogue = {"actions": [{"id": "a", "slot": "s"}], "metrics": [{"name": "rev", "unit": "EUR"}], "segments": []}
    (tmp_path / "scores").mkdir()
    scores = write_frame(tmp_path / "scores", {**catalogue, "model_id": "m", "as_of": None}, frame)
    rule = {"id": "most", "kind": "total", "metric": "rev", "max": 1.0, "certainty": "90%"}
    with pytest.raises(InputError, match="column stderr_rev: is missing, and the certainty of most needs it"):
        allocate(scores, policy(rule))


def _with(folder: Path, change: Callable[[dict], None]) -> None:
    file = folder / "certificate.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def _rule(content: dict) -> dict:
    return next(each for each in content["constraints"] if each["id"] == "total")


def _longer(content: dict) -> None:
    for by_action in _rule(content)["gradient"].values():
        by_action.update({action: 1.5 * each for action, each in by_action.items()})


FALSE_CLAIMS: Mapping[str, tuple[Callable[[dict], None], str]] = {
    "a smaller error": (lambda content: _rule(content).update(se=0.9 * _rule(content)["se"]), "constraint total"),
    "another certainty": (lambda content: _rule(content).update(certainty=0.8), "constraint total"),
    "no error": (lambda content: _rule(content).pop("se"), "constraint total"),
    "room without the margin": (
        lambda content: _rule(content).update(slack=_rule(content)["max"] - _rule(content)["achieved"]),
        "constraint total",
    ),
    "a gradient that charges too much": (_longer, "constraint total"),
    "a surer value": (lambda content: content.update(value_se=0.5 * content["value_se"]), "certificate value_se"),
    "a surer total": (
        lambda content: content["metrics"]["risk"].update(se=0.5 * content["metrics"]["risk"]["se"]),
        "certificate metrics.risk.se",
    ),
}


@pytest.fixture(scope="module")
def certain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scores, Allocation]:
    """Scores, and an allocation whose one rule is at its limit with certainty."""
    folder = tmp_path_factory.mktemp("certain")
    scores, planes = write(folder / "scores", 400, 6, 0.3, seed=2, slots=2, groups="kind")
    most = 0.5 * planes["risk"][0].mean() * 400
    rule = {"id": "total", "kind": "total", "metric": "risk", "max": most, "certainty": "90%"}
    (folder / "made").mkdir()
    made = allocate(scores, policy(rule), folder=folder / "made")
    assert made.certificate.constraints[0].binding == "max"
    return scores, made


@pytest.mark.parametrize("claim", FALSE_CLAIMS)
def test_the_audit_finds_a_false_claim_about_errors(
    claim: str, certain: tuple[Scores, Allocation], tmp_path: Path
) -> None:
    scores, made = certain
    shutil.copytree(made.folder, tmp_path / "made")
    change, check = FALSE_CLAIMS[claim]
    _with(tmp_path / "made", change)
    failed = {each.name for each in audit(scores.path, made.policy, tmp_path / "made").failures}
    assert check in failed
