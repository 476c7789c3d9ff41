"""The judge agrees with a recount by plain loops and brute force, and catches every way of bending an allocation."""

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.audit.checks import write_audit
from allocator.audit.judge import audit
from allocator.audit.slates import Slates
from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import Policy
from allocator.policy.reader import parse_policy
from ranker.scores import Catalogue, Metric, ScoresWriter

SPOTS = {"home_1": ["family", "duo", "books"], "home_2": ["family", "books"], "push": ["duo", "books"]}
ACTIONS = tuple(
    {
        "id": f"{slot}/{product}",
        "slot": slot,
        "surface": slot.split("_")[0],
        "product": product,
        "family": "other" if product == "books" else "plan",
        "discount_eur": 2.5 if product == "family" else 1.0,
    }
    for slot, products in SPOTS.items()
    for product in products
)
IDS = [action["id"] for action in ACTIONS]
METRICS = ("subs", "revenue", "opt_outs")
CATALOGUE = Catalogue(ACTIONS, tuple(Metric(name, name) for name in METRICS), ("market", "lifecycle"))
SEGMENTS = {"market": frozenset({"SE", "NO"}), "lifecycle": frozenset({"student", "free"})}
USERS = 60

POLICY = """
version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 12.0}
  - {metric: subs, weight: -1.0, times: discount_eur}
  - {metric: opt_outs, weight: -25.0}
risk: {z: 0.5}
experiment:
  holdout: {share: 0.15, salt: q4}
  exploration: {share: 0.15, salt: w47}
eligibility:
  - {id: students, forbid: {product: family}, users: {lifecycle: student}}
contact:
  - {id: total, max: 2}
  - {id: push, max: 1, where: {surface: push}}
  - {id: once_each, max: 1, each: product}
  - {id: plan_once, max: 1, where: {product: [duo, family]}}
constraints:
  - {id: push_capacity, kind: volume, where: {surface: push}, max: 40}
  - {id: books_goal, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 5%}
  - {id: discount_budget, kind: total, metric: subs, times: discount_eur, max: 250}
  - {id: plan_share, kind: share, where: {family: plan}, of: {surface: home}, min: 0.05, max: 0.95}
  - {id: opt_out_rate, kind: average, metric: opt_outs, max: 0.5}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 0.2}
  - {id: norway, kind: volume, users: {market: "NO", not: {lifecycle: student}}, max: 3, strength: {soft: 0.25}}
  - {id: looked_at, kind: volume, where: {product: duo}, max: 1, strength: report_only}
"""


def policy_of(text: str = POLICY) -> Policy:
    return parse_policy(text, "policy.yaml", {}, CATALOGUE, SEGMENTS)


@dataclass
class Case:
    """A small allocation with everything known about it, free to be bent before it is written."""

    folder: Path
    users: pd.DataFrame
    mean: dict[str, np.ndarray]
    stderr: dict[str, np.ndarray]
    eligible: np.ndarray
    policy: Policy = field(default_factory=policy_of)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    certificate: dict = field(default_factory=dict)

    def failures(self) -> set[str]:
        allocation = self.folder / "allocation"
        allocation.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pandas(self.rows, preserve_index=False), allocation / "part-0.parquet")
        (allocation / "certificate.json").write_text(json.dumps(self.certificate))
        result = audit(self.folder / "scores", self.policy, allocation)
        assert result.clean == (not result.failures)
        return {check.name for check in result.failures}

    def follow(self, text: str) -> None:
        """Judges by another policy, with a certificate that is honest about it."""
        self.policy = policy_of(text)
        self.certificate = honest_certificate(self)

    def add(self, user: int, *actions: str) -> None:
        """Gives the user these actions, and certifies that honestly."""
        rows = [row_of(self, user, IDS.index(action), "optimised") for action in actions]
        self.rows = pd.concat([self.rows, pd.DataFrame(rows)], ignore_index=True)
        self.certificate = honest_certificate(self)


def value_of(case: Case, user: int, action: int) -> float:
    value = 0.0
    for term in case.policy.objective:
        weight = term.weight * (ACTIONS[action][term.times] if term.times else 1.0)
        value += weight * float(case.mean[term.metric][user, action])
        value -= case.policy.risk_z * abs(weight) * float(case.stderr[term.metric][user, action])
    return value


def row_of(case: Case, user: int, action: int, source: str) -> dict:
    return {
        "user_id": int(case.users.user_id[user]),
        "action": IDS[action],
        "slot": ACTIONS[action]["slot"],
        "value": value_of(case, user, action),
        "margin": 0.1,
        "runner_up": None if action else IDS[1],
        "source": source,
        "propensity": 0.25 if source == "exploration" else 1.0,
    }


def allowed(case: Case, user: int) -> list[int]:
    record = case.users.loc[user].to_dict()
    return [
        a
        for a in range(len(IDS))
        if case.eligible[user, a]
        and not any(r.users.matches(record) and r.forbid.matches(ACTIONS[a]) for r in case.policy.eligibility)
    ]


def slates(actions: list[int]) -> Iterator[tuple[int, ...]]:
    """Every slate that keeps the case's contact rules, by enumeration."""
    for count in range(3):
        for slate in itertools.combinations(actions, count):
            products = [ACTIONS[a]["product"] for a in slate]
            plans = sum(product != "books" for product in products)
            if len({ACTIONS[a]["slot"] for a in slate}) == count == len(set(products)) and plans <= 1:
                yield slate


def groups(case: Case) -> tuple[np.ndarray, np.ndarray]:
    ids = case.users.user_id.to_numpy()
    return held_out(case.policy, ids), exploring(case.policy, ids)


def allocate(case: Case) -> pd.DataFrame:
    """Each user's best slate, one random action for those who explore."""
    held, explores = groups(case)
    rows = []
    for user in range(USERS):
        actions = allowed(case, user)
        if explores[user]:
            rows += [row_of(case, user, a, "exploration") for a in actions[:1]]
        elif not held[user]:
            best = max(slates(actions), key=lambda slate: sum(value_of(case, user, a) for a in slate))
            rows += [row_of(case, user, a, "optimised") for a in best]
    return pd.DataFrame(rows)


def use(case: Case, rule: object, user: int, action: int) -> tuple[float, float | None]:
    """What one contact adds to a constraint's numerator and denominator."""
    words = ACTIONS[action]
    inside = rule.users.matches(case.users.loc[user].to_dict()) and rule.where.matches(words)
    mean = {name: float(plane[user, action]) for name, plane in case.mean.items()}
    if rule.kind == "volume":
        return float(inside), None
    if rule.kind == "share":
        of = rule.users.matches(case.users.loc[user].to_dict()) and rule.of.matches(words)
        return float(inside and of), float(of)
    total = inside * mean[rule.metric] * (words[rule.times] if rule.times else 1.0)
    if rule.kind == "total":
        return total, None
    if rule.kind == "average":
        return total, float(inside)
    return total, inside * mean[rule.per.metric] * (words[rule.per.times] if rule.per.times else 1.0)


def honest_certificate(case: Case, multiplier: float = 0.01) -> dict:
    """Everything the contract asks for, by plain loops over rows and slates; the multipliers are any numbers >= 0."""
    place = {int(user): position for position, user in enumerate(case.users.user_id)}
    contacts = [(place[row.user_id], IDS.index(row.action)) for row in case.rows.itertuples() if row.user_id in place]
    claims, penalty, priced, limits = [], 0.0, [], 0.0
    for rule in case.policy.constraints:
        sums = [use(case, rule, user, action) for user, action in contacts]
        numerator = sum(first for first, _ in sums)
        denominator = None if rule.kind in ("volume", "total") else sum(second for _, second in sums)
        achieved = numerator if denominator is None else numerator / denominator if denominator else None
        people = sum(rule.users.matches(record) for record in case.users.to_dict("records"))
        sides = {
            side: None if bound is None else bound.of(people) for side, bound in (("min", rule.min), ("max", rule.max))
        }
        side = "max" if sides["max"] is not None else "min"
        enforced = rule.strength.kind != "report_only"
        room = {"min": lambda at, got=achieved: got - at, "max": lambda at, got=achieved: at - got}
        signed = multiplier * enforced * (1 if side == "max" else -1)
        priced.append((rule, signed, sides[side]))
        limits += signed * sides[side] if denominator is None else 0.0
        if rule.strength.kind == "soft":
            over = [-room[s](at) for s, at in sides.items() if at is not None]
            penalty += rule.strength.penalty * max(0.0, *over)
        claims.append(
            {
                "id": rule.id,
                "kind": rule.kind,
                **sides,
                "achieved": achieved,
                "slack": room[side](sides[side]),
                "binding": side if enforced else None,
                "price": multiplier * enforced,
                "multiplier": multiplier * enforced,
                "numerator": numerator,
                "denominator": denominator,
            }
        )
        if not enforced:
            claims[-1]["slack"] = min(room[s](at) for s, at in sides.items() if at is not None)
    value = sum(value_of(case, user, action) for user, action in contacts) - penalty
    bound = limits + sum(best_net(case, priced))
    return {
        "status": "optimal",
        "users": USERS,
        "contacts": len(case.rows),
        "value": value,
        "soft_penalty": penalty,
        "bound": bound,
        "gap": (bound - value) / abs(bound),
        "constraints": claims,
        "metrics": {
            name: {"total": sum(float(case.mean[name][u, a]) for u, a in contacts), "unit": name} for name in METRICS
        },
        "policy_digest": case.policy.digest,
        "seconds": {},
        "passes": 0,
    }


def best_net(case: Case, priced: list[tuple]) -> Iterator[float]:
    """Per user the best slate's value less what it uses at the multipliers; those who explore keep their rows."""
    held, explores = groups(case)
    for user in range(USERS):
        if held[user]:
            continue
        net = {}
        for action in allowed(case, user):
            net[action] = value_of(case, user, action)
            for rule, signed, bound in priced:
                numerator, denominator = use(case, rule, user, action)
                net[action] -= signed * (numerator - (bound * denominator if denominator is not None else 0.0))
        mine = case.rows[(case.rows.user_id == case.users.user_id[user]) & (case.rows.source == "exploration")]
        if explores[user]:
            yield sum(net[IDS.index(action)] for action in mine.action)
        else:
            yield max(sum(net[action] for action in slate) for slate in slates(list(net)))


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    """A copy to bend."""
    copied = replace(made, folder=tmp_path, rows=made.rows.copy(), certificate=copy.deepcopy(made.certificate))
    write_scores(copied)
    return copied


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """60 users in two files, 7 actions; every constraint holds but the soft one, and one that is only measured."""
    rng = np.random.default_rng(7)
    users = pd.DataFrame(
        {
            "user_id": rng.permutation(USERS) + 1000,
            "market": rng.choice(["SE", "NO"], USERS),
            "lifecycle": rng.choice(["student", "free"], USERS),
        }
    )
    shape = (USERS, len(IDS))
    mean = {
        "subs": rng.uniform(0.0, 1.0, shape).astype(np.float32),
        "revenue": rng.normal(1.0, 2.0, shape).astype(np.float32),
        "opt_outs": rng.uniform(0.0, 0.4, shape).astype(np.float32),
    }
    stderr = {name: rng.uniform(0.0, 0.1, shape).astype(np.float32) for name in METRICS}
    made = Case(tmp_path_factory.mktemp("made"), users, mean, stderr, rng.random(shape) < 0.8)
    made.rows = allocate(made)
    made.certificate = honest_certificate(made)
    return made


def write_scores(case: Case, ids: type = int) -> None:
    folder = case.folder / "scores"
    folder.mkdir(exist_ok=True)
    with ScoresWriter(folder, CATALOGUE) as writer:
        for part in (slice(0, 33), slice(33, USERS)):
            writer.write(
                pa.array([ids(user) for user in case.users.user_id[part]]),
                {name: pa.array(case.users[name][part].tolist()) for name in ("market", "lifecycle")},
                {name: plane[part] for name, plane in case.mean.items()},
                {name: plane[part] for name, plane in case.stderr.items()},
                case.eligible[part],
            )


def test_an_honest_allocation_is_clean(case: Case) -> None:
    assert case.failures() == set()
    assert case.certificate["soft_penalty"] > 0
    assert len(case.rows) > 50


def test_ids_may_be_text(case: Case) -> None:
    """A number and its text draw the same, so the same allocation is right."""
    write_scores(case, str)
    case.rows = case.rows.assign(user_id=case.rows.user_id.astype(str))
    assert case.failures() == set()
    case.rows.loc[2, "value"] += 1.0
    assert case.failures() == {"row values"}


def position(case: Case, wanted: Callable[[int], bool]) -> int:
    return next(user for user in range(USERS) if wanted(user))


def test_a_row_that_stands_twice_is_a_second_action_in_its_slot(case: Case) -> None:
    row = case.rows[case.rows.source == "optimised"].iloc[[0]]
    case.rows = pd.concat([case.rows, row], ignore_index=True)
    case.certificate = honest_certificate(case)
    assert "slots" in case.failures()


def test_an_action_that_the_scores_do_not_allow(case: Case) -> None:
    held, explores = groups(case)
    user = position(case, lambda u: not held[u] and not explores[u] and not case.eligible[u].all())
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, IDS[int(np.flatnonzero(~case.eligible[user])[0])])
    assert case.failures() == {"eligibility"}


def test_an_action_that_an_eligibility_rule_forbids(case: Case) -> None:
    held, explores = groups(case)
    student = case.users.lifecycle == "student"
    user = position(case, lambda u: student[u] and case.eligible[u, 0] and not held[u] and not explores[u])
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, "home_1/family")
    assert case.failures() == {"eligibility"}


@pytest.mark.parametrize(
    ("slate", "rules"),
    [
        (["home_1/family", "home_2/books", "push/duo"], {"contact total", "contact plan_once"}),
        (["home_1/books", "push/books"], {"contact once_each"}),
        (["home_1/family", "push/duo"], {"contact plan_once"}),
        (["home_1/duo", "home_1/books"], {"slots"}),
    ],
)
def test_one_contact_too_many(case: Case, slate: list[str], rules: set[str]) -> None:
    held, explores = groups(case)
    actions = {IDS.index(action) for action in slate}
    user = position(case, lambda u: actions <= set(allowed(case, u)) and not held[u] and not explores[u])
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, *slate)
    assert case.failures() == rules


def test_a_user_who_is_held_out(case: Case) -> None:
    held, _ = groups(case)
    user = position(case, lambda u: held[u] and allowed(case, u))
    case.add(user, IDS[allowed(case, user)[0]])
    # One contact more than the bound reckons with also lifts the value above it.
    assert case.failures() == {"holdout", "certificate bound"}


def test_a_user_who_should_explore_is_optimised(case: Case) -> None:
    case.rows.loc[case.rows.source == "exploration", "source"] = "optimised"
    assert "exploration" in case.failures()


def test_a_user_who_is_not_in_the_scores(case: Case) -> None:
    case.rows = pd.concat([case.rows, case.rows.iloc[[0]].assign(user_id=5)], ignore_index=True)
    case.certificate = honest_certificate(case)
    case.certificate["contacts"] = len(case.rows)
    assert case.failures() == {"users"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "home_9/gone"),
        ("slot", "push_9"),
        ("source", "whim"),
        ("value", None),
        ("propensity", 0.0),
        ("propensity", None),
        ("runner_up", "home_9/gone"),
        ("margin", np.inf),
    ],
)
def test_a_row_that_is_not_well_formed(case: Case, column: str, value: object) -> None:
    case.rows[column] = [value, *case.rows[column].tolist()[1:]]
    assert "rows" in case.failures()


def test_a_value_that_the_scores_do_not_give(case: Case) -> None:
    case.rows.loc[3, "value"] += 1e-6
    assert case.failures() == {"row values"}


@pytest.mark.parametrize(
    ("rule", "of"),
    [
        ("push_capacity", lambda n, d: n - 1),
        ("push_capacity", lambda n, d: n - 1e-9),
        ("discount_budget", lambda n, d: n * (1 - 1e-7)),
        ("opt_out_rate", lambda n, d: n / d * (1 - 1e-7)),
        ("plan_share", lambda n, d: (n - 1) / d),
    ],
)
def test_a_cap_that_is_broken_by_a_hair(case: Case, rule: str, of: Callable) -> None:
    claim = next(each for each in case.certificate["constraints"] if each["id"] == rule)
    old = {
        "push_capacity": "max: 40",
        "discount_budget": "max: 250",
        "opt_out_rate": "max: 0.5",
        "plan_share": "max: 0.95",
    }
    broken = repr(of(claim["numerator"], claim["denominator"]))
    case.follow(POLICY.replace(old[rule], f"max: {broken}"))
    assert case.failures() == {f"constraint {rule}"}


@pytest.mark.parametrize(
    ("rule", "of"),
    [
        ("books_goal", lambda n, d: n + 1),
        ("plan_share", lambda n, d: (n + 1) / d),
        ("roi", lambda n, d: n / d * (1 + 1e-7)),
    ],
)
def test_a_floor_that_is_missed_by_a_hair(case: Case, rule: str, of: Callable) -> None:
    claim = next(each for each in case.certificate["constraints"] if each["id"] == rule)
    old = {"books_goal": "min: 5%", "plan_share": "min: 0.05", "roi": "min: 0.2"}
    missed = repr(of(claim["numerator"], claim["denominator"]))
    case.follow(POLICY.replace(old[rule], f"min: {missed}"))
    assert case.failures() == {f"constraint {rule}"}


def test_bounds_that_are_met_exactly_hold(case: Case) -> None:
    """Equality is no violation: for counts exactly, for sums within 1e-9 of the terms."""
    claims = {claim["id"]: claim for claim in case.certificate["constraints"]}
    text = POLICY.replace("max: 40", f"max: {int(claims['push_capacity']['achieved'])}")
    text = text.replace("max: 250", f"max: {claims['discount_budget']['achieved']!r}")
    text = text.replace("min: 0.2", f"min: {claims['roi']['achieved']!r}")
    case.follow(text)
    assert case.failures() == set()


@pytest.mark.parametrize(
    ("key", "check"),
    [
        ("users", "users"),
        ("contacts", "contacts"),
        ("value", "value"),
        ("soft_penalty", "soft_penalty"),
        ("bound", "bound"),
        ("gap", "gap"),
    ],
)
def test_a_certificate_that_is_edited(case: Case, key: str, check: str) -> None:
    case.certificate[key] = case.certificate[key] * (1 - 1e-6) + 1e-6
    assert f"certificate {check}" in case.failures()


@pytest.mark.parametrize("field_", ["achieved", "slack", "min", "max", "numerator", "multiplier"])
def test_a_constraint_that_is_edited(case: Case, field_: str) -> None:
    claim = next(each for each in case.certificate["constraints"] if each["id"] == "plan_share")
    claim[field_] = claim[field_] + 1e-5
    wanted = "certificate bound" if field_ == "multiplier" else "constraint plan_share"
    assert wanted in case.failures()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("roi", {"binding": "max"}),
        ("roi", {"price": -1.0}),
        ("looked_at", {"multiplier": 0.5}),
        ("norway", {"multiplier": 0.26}),
        ("plan_share", {"binding": None}),
        ("roi", {"achieved": None}),
    ],
)
def test_a_claim_that_cannot_be(case: Case, rule: str, changes: dict) -> None:
    next(each for each in case.certificate["constraints"] if each["id"] == rule).update(changes)
    assert f"constraint {rule}" in case.failures()


def test_a_multiplier_that_names_no_side(case: Case) -> None:
    """The share has a min and a max, so its multiplier could be of either; the slack alone would be right."""
    claim = next(each for each in case.certificate["constraints"] if each["id"] == "plan_share")
    claim |= {"binding": None, "slack": min(claim["achieved"] - claim["min"], claim["max"] - claim["achieved"])}
    assert case.failures() == {"constraint plan_share", "certificate bound"}


def test_a_constraint_that_is_left_out_of_the_certificate(case: Case) -> None:
    del case.certificate["constraints"][0]
    assert "constraints" in case.failures()


def test_a_metric_total_and_a_policy_digest_that_are_edited(case: Case) -> None:
    case.certificate["metrics"]["subs"]["total"] += 0.001
    case.certificate["policy_digest"] = "0" * 64
    assert case.failures() == {"certificate metrics.subs", "certificate policy_digest"}


@pytest.mark.parametrize("text", ["", "[]", '{"value": NaN, "constraints": []}', '{"constraints": [{}]}'])
def test_a_certificate_that_cannot_be_read(case: Case, text: str) -> None:
    assert case.failures() == set()
    (case.folder / "allocation" / "certificate.json").write_text(text)
    assert [
        check.name for check in audit(case.folder / "scores", case.policy, case.folder / "allocation").failures
    ] == ["readable"]


def test_rows_that_lack_a_column_or_the_type_of_the_ids(case: Case) -> None:
    rows = case.rows
    case.rows = rows.drop(columns="propensity")
    assert case.failures() == {"readable"}
    case.rows = rows.assign(user_id=rows.user_id.astype(str))
    assert case.failures() == {"readable"}


def test_nothing_allocated_is_clean_where_nothing_is_demanded(case: Case) -> None:
    case.rows = case.rows.iloc[:0]
    case.policy = policy_of(
        "version: 1\nobjective: [{metric: revenue, weight: 1}]\nconstraints: [{id: roi, kind: ratio, "
        "metric: revenue, per: {metric: subs}, min: 2}]"
    )
    case.certificate = {
        "status": "feasible",
        "users": USERS,
        "contacts": 0,
        "value": 0.0,
        "gap": 1.0,
        "constraints": [
            {
                "id": "roi",
                "kind": "ratio",
                "min": 2.0,
                "max": None,
                "achieved": None,
                "slack": None,
                "binding": None,
                "price": 0.0,
                "multiplier": 0.0,
            }
        ],
    }
    net = np.where(case.eligible, case.mean["revenue"].astype(float), -np.inf)
    slot = np.array([list(SPOTS).index(action["slot"]) for action in ACTIONS])
    case.certificate["bound"] = sum(np.maximum(net[:, slot == s].max(axis=1), 0).sum() for s in range(3))
    assert case.failures() == set()


def test_the_audit_is_written_without_user_ids(case: Case, tmp_path: Path) -> None:
    case.rows.loc[0, "value"] += 1
    case.failures()
    result = audit(tmp_path / "scores", case.policy, tmp_path / "allocation")
    write_audit(tmp_path / "audit.json", result)
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text)["clean"] is False
    assert str(case.users.user_id[0]) not in text


@pytest.mark.parametrize("seed", range(6))
def test_best_slates_agree_with_enumeration_for_any_caps(seed: int) -> None:
    """Overlapping caps over random sets of actions, 9 actions in 4 slots."""
    rng = np.random.default_rng(seed)
    slot_A = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    caps = [(rng.random(9) < 0.5, int(rng.integers(0, 3))) for _ in range(4)]
    net_UA = np.where(rng.random((40, 9)) < 0.2, -np.inf, rng.normal(0.3, 1.0, (40, 9)))
    found_U = Slates(slot_A, caps).best(net_UA)
    for net_A, found in zip(net_UA, found_U, strict=True):
        best = max(
            sum(net_A[list(slate)])
            for count in range(5)
            for slate in itertools.combinations(np.flatnonzero(np.isfinite(net_A)), count)
            if len(set(slot_A[list(slate)])) == count
            and all(scope_A[list(slate)].sum() <= most for scope_A, most in caps)
        )
        assert found == pytest.approx(best, abs=1e-12)
