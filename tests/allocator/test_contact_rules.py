"""Contact rules of some users alone, all or nothing, and what others require: against every slate written out from the policy's words."""

import datetime
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.allocate import Allocation
from allocator.audit.judge import audit
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.reader import policy_for
from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter, open_scores
from scripts import allocate
from tests.seeds import seeds

TODAY = datetime.date(2026, 11, 23)
PRODUCTS = ("book", "ticket", "plan")
USERS = 14
Rules = list[Mapping[str, object]]


@dataclass(frozen=True)
class World:
    """Everything as plain arrays and lists, beside the scores that hold the same."""

    folder: Path
    actions: list[dict]
    value_UA: np.ndarray
    eligible_UA: np.ndarray
    market: list[str]
    received: list[list[tuple[int, int]]]

    def slates(self, user: int, rules: Rules) -> Iterator[tuple[int, ...]]:
        """Every set of actions that one user may get."""
        able = np.flatnonzero(self.eligible_UA[user])
        slots = sorted({action["slot"] for action in self.actions})
        choices = [[None, *(int(a) for a in able if self.actions[a]["slot"] == slot)] for slot in slots]
        for picked in itertools.product(*choices):
            slate = tuple(a for a in picked if a is not None)
            if all(self._keeps(user, slate, rule) for rule in rules):
                yield slate

    def _keeps(self, user: int, slate: tuple[int, ...], rule: Mapping) -> bool:
        if self.market[user] not in rule.get("users", {}).get("market", ("SE", "NO")):
            return True
        days = rule.get("days", 0)
        earlier = [action for action, age in self.received[user] if age < days]
        if "requires" in rule:
            asks = [a for a in slate if self.fits(a, rule["where"]) and not self.fits(a, rule["requires"])]
            return not asks or any(self.fits(a, rule["requires"]) for a in (*slate, *earlier))
        for part in self._parts(rule):
            now, before = sum(a in part for a in slate), sum(a in part for a in earlier)
            if now and (now + before > rule["max"] or now + before < rule.get("min", 0)):
                return False
        return True

    def _parts(self, rule: Mapping) -> list[set[int]]:
        inside = {a for a in range(len(self.actions)) if self.fits(a, rule.get("where", {}))}
        if "each" not in rule:
            return [inside]
        values = {action[rule["each"]] for action in self.actions}
        return [{a for a in inside if self.actions[a][rule["each"]] == value} for value in values]

    def fits(self, action: int, words: Mapping) -> bool:
        return all(self.actions[action][key] in values for key, values in words.items())

    def best(self, rules: Rules, limit: Mapping) -> float:
        """The most that slates are worth which together give so many contacts of one product: user after user, by the number so far."""
        worth = {0: 0.0}
        for user in range(len(self.market)):
            options: dict[int, float] = {}
            for slate in self.slates(user, rules):
                count = sum(self.actions[a]["product"] == limit["product"] for a in slate)
                value = float(sum(self.value_UA[user, a] for a in slate))
                options[count] = max(options.get(count, -np.inf), value)
            after: dict[int, float] = {}
            for (so_far, value), (count, more) in itertools.product(worth.items(), options.items()):
                after[so_far + count] = max(after.get(so_far + count, -np.inf), value + more)
            worth = after
        return max((value for count, value in worth.items() if limit["min"] <= count <= limit["max"]), default=-np.inf)


def world(folder: Path, seed: int, users: int = USERS) -> World:
    """Three slots, two or three products in each, values of both signs, a history, two markets."""
    generator = np.random.default_rng(seed)
    actions = [
        {"id": f"{slot}/{product}", "slot": slot, "product": product}
        for slot in ("s1", "s2", "s3")
        for product in PRODUCTS
        if generator.random() < 0.7 or slot != "s3"
    ]
    size = (users, len(actions))
    value_UA = np.round(generator.normal(0.3, 1.0, size), 2).astype(np.float32)
    eligible_UA = generator.random(size) < 0.9
    market = [("SE", "NO")[code] for code in generator.integers(0, 2, users)]
    received = [
        [
            (int(a), int(age))
            for a, age in zip(generator.integers(len(actions), size=n), generator.integers(0, 40, n), strict=True)
        ]
        for n in generator.integers(0, 3, users)
    ]
    scores = folder / "scores"
    (scores / "history").mkdir(parents=True)
    with ScoresWriter(scores, Catalogue(tuple(actions), (Metric("value", "EUR"),), ("market",), "m", TODAY)) as writer:
        ids = pa.array(np.arange(users) + 100)
        writer.write(ids, {"market": pa.array(market)}, {"value": value_UA}, None, eligible_UA)
    rows = [
        (user + 100, actions[a]["id"], TODAY - datetime.timedelta(age))
        for user, had in enumerate(received)
        for a, age in had
    ]
    columns = dict(zip(("user_id", "action", "date"), zip(*rows, strict=True), strict=True))
    pq.write_table(
        pa.table({**columns, "user_id": pa.array(columns["user_id"], pa.int64())}), scores / "history" / "h.parquet"
    )
    return World(folder, actions, value_UA.astype(float), eligible_UA, market, received)


def random_rules(seed: int) -> Rules:
    """Two to four contact rules, of every kind in turn."""
    generator = np.random.default_rng([seed, 1])
    kinds: Rules = [
        {"id": "sweden", "max": int(generator.integers(1, 3)), "users": {"market": ["SE"]}},
        {"id": "no_plans", "max": 0, "where": {"product": ["plan"]}, "users": {"market": ["NO"]}},
        {"id": "pair", "min": 2, "max": 3, "where": {"product": [["book", "plan"], ["ticket"], ["plan"]][seed % 3]}},
        {"id": "trio", "min": 2, "max": 3, "users": {"market": ["NO"]}},
        {"id": "again", "min": 2, "max": 3, "days": 28, "where": {"product": ["book"]}},
        {"id": "same", "min": 2, "max": 2, "each": "product"},
        {"id": "beside", "requires": {"product": ["book"]}, "where": {"product": ["ticket"]}},
        {"id": "after", "requires": {"product": ["book"]}, "where": {"product": ["ticket"]}, "days": 28},
        {
            "id": "chain",
            "requires": {"product": ["ticket"]},
            "where": {"product": ["plan"]},
            "days": 14,
            "users": {"market": ["SE"]},
        },
        {"id": "first", "requires": {"slot": ["s1"]}, "where": {}},
    ]
    chosen = sorted({seed % len(kinds), *generator.choice(len(kinds), 2, replace=False).tolist()})
    return [{"id": "total", "max": int(generator.integers(2, 4))}, *(kinds[k] for k in chosen)]


def policy_of(rules: Rules, rest: str = "") -> str:
    lines = "".join(f"  - {json.dumps(rule)}\n" for rule in rules)
    return f"version: 1\nobjective: [{{metric: value, weight: 1}}]\ncontact:\n{lines}{rest}"


def volume(limit: Mapping) -> str:
    return (
        f"constraints:\n  - {{id: few, kind: volume, where: {{product: {limit['product']}}}, "
        f"min: {limit['min']}, max: {limit['max']}}}\n"
    )


def allocated(settings_for: Callable, folder: Path, policy: str, **solve: object) -> tuple[Allocation, pd.DataFrame]:
    settings = settings_for(folder, "", gap=1e-7, **solve)
    settings.paths.policy.write_text(policy)
    result = allocate.run(settings)
    rows = pd.concat(pd.read_parquet(file) for file in result.folder.glob("*.parquet"))
    return result, rows


def slates_of(some: World, rows: pd.DataFrame) -> list[tuple[int, ...]]:
    ids = [action["id"] for action in some.actions]
    found = [
        tuple(sorted(ids.index(name) for name in rows.action[rows.user_id == user + 100]))
        for user in range(len(some.market))
    ]
    return found


@pytest.mark.parametrize("method", ["exact", "prices"])
@pytest.mark.parametrize("seed", seeds(14, quick=6))
def test_the_best_of_all_slates_that_the_words_allow(
    tmp_path: Path, settings_for: Callable, seed: int, method: str
) -> None:
    some, rules = world(tmp_path, seed), random_rules(seed)
    free = some.best(rules, {"product": "book", "min": 0, "max": np.inf})
    limit = {"product": PRODUCTS[seed % 3], "min": seed % 2, "max": 2 + seed % 4}
    for text, best in (("", free), (volume(limit), some.best(rules, limit))):
        if best == -np.inf:
            with pytest.raises(Infeasible) as raised:
                allocated(settings_for, tmp_path, policy_of(rules, text), method=method)
            assert raised.value.diagnosis.conflict == ("few",)
            asked = {cause.rule for cause in raised.value.diagnosis.causes if cause.kind == "contact"}
            assert asked & {rule["id"] for rule in rules if rule["id"] != "total"}
            continue
        result, rows = allocated(settings_for, tmp_path, policy_of(rules, text), method=method)
        assert result.audit.clean
        assert result.certificate.value == pytest.approx(best, abs=1e-6)
        assert result.certificate.bound >= best - 1e-9
        assert result.certificate.price_bound >= best - 1e-9
        for user, slate in enumerate(slates_of(some, rows)):
            assert slate in {tuple(sorted(each)) for each in some.slates(user, rules)}


EXPERIMENT = "experiment:\n  holdout: {share: 0.1, salt: h}\n  exploration: {share: 0.4, salt: e}\n"
KINDS: Mapping[str, tuple[Mapping, str]] = {
    "sweden": ({"id": "rule", "max": 1, "users": {"market": ["SE"]}}, "get more than the rule allows"),
    "none": ({"id": "rule", "max": 0, "where": {"product": ["plan"]}, "users": {"market": ["SE"]}}, "get more"),
    "pair": (
        {"id": "rule", "min": 2, "max": 3, "where": {"product": ["book", "plan"]}},
        "fewer than the rule's minimum",
    ),
    "beside": (
        {"id": "rule", "requires": {"product": ["book"]}, "where": {"product": ["ticket"]}},
        "lack what the rule",
    ),
    "after": (
        {"id": "rule", "requires": {"product": ["book"]}, "where": {"product": ["ticket"]}, "days": 28},
        "lack what the rule",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_catches_who_breaks_it(tmp_path: Path, settings_for: Callable, kind: str) -> None:
    """An allocation without the rule, judged by the policy that has it."""
    some, (rule, words) = world(tmp_path, 3, 40), KINDS[kind]
    _, rows = allocated(settings_for, tmp_path, policy_of([{"id": "total", "max": 3}]))
    wrong = [user for user, slate in enumerate(slates_of(some, rows)) if slate not in {*some.slates(user, [rule])}]
    scores = open_scores(tmp_path / "scores")
    (tmp_path / "other.yaml").write_text(policy_of([{"id": "total", "max": 3}, rule]))
    policy = policy_for(tmp_path / "other.yaml", {}, scores)
    (failure,) = (
        each for each in audit(tmp_path / "scores", policy, tmp_path / "out").failures if each.name == "contact rule"
    )
    assert wrong
    assert f"{len(wrong):,} users" in failure.detail
    assert words in failure.detail


@pytest.mark.parametrize("seed", seeds(6, quick=3))
def test_random_pinned_and_fallback_contacts_keep_the_rules(tmp_path: Path, settings_for: Callable, seed: int) -> None:
    some, rules = world(tmp_path, seed, 150), random_rules(seed)
    more = (
        "pinned:\n  - {id: p, users: {market: SE}, action: s1/ticket}\n  - {id: q, users: {market: SE}, action: s2/book}\n"
        "fallback: {action: [s1/plan, s2/ticket, s1/book]}\n"
    )
    result, rows = allocated(settings_for, tmp_path, policy_of(rules, EXPERIMENT + (more if seed % 2 else "")))
    assert result.audit.clean
    found = slates_of(some, rows)
    assert all(slate in {tuple(sorted(each)) for each in some.slates(user, rules)} for user, slate in enumerate(found))
    explored = rows[rows.source == "exploration"]
    assert len(explored) > 10 or seed % 2
    for row in explored.itertuples():
        alone = [slate for slate in some.slates(row.user_id - 100, rules) if len(slate) == 1]
        assert row.propensity == pytest.approx(1 / (len(alone) + 1))
