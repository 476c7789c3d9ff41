"""A small allocation with everything known about it, certified by plain loops over rows and slates, free to be bent before it is judged."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from allocator.audit.checks import Audit
from allocator.audit.judge import audit
from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import ContactRule, Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.reader import parse_policy
from ranker.catalogue import Catalogue, Interference, Kept, Metric, Pair
from ranker.scores import ScoresWriter

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
TODAY = date(2026, 11, 23)
SPOILING = Interference(
    28,
    None,
    (
        Pair({"product": "books"}, {"product": "duo"}, Kept(0.3, 0.2), "history"),
        Pair({"product": "duo"}, {"product": "books"}, Kept(0.8, 0.5), "history"),
        Pair(
            {"product": "family"}, {"product": "books"}, Kept(0.5, 0.4), "history"
        ),  # at most 1.01: nobody can be sure
    ),
)
CATALOGUE = Catalogue(
    ACTIONS, tuple(Metric(name, name) for name in METRICS), ("market", "lifecycle"), "test", TODAY, SPOILING
)
SEGMENTS = {"market": frozenset({"SE", "NO"}), "lifecycle": frozenset({"student", "free"})}
USERS = 60

HEAD = """
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
"""
CONTACT = """
contact:
  - {id: total, max: 2}
  - {id: push, max: 1, where: {surface: push}}
  - {id: once_each, max: 1, each: product}
  - {id: plan_once, max: 1, where: {product: [duo, family]}}
"""
POLICY = (
    HEAD
    + CONTACT
    + """
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
)


def policy_of(text: str = POLICY) -> Policy:
    return parse_policy(text, "policy.yaml", {}, CATALOGUE, SEGMENTS, previous=True)


@dataclass
class Case:
    """A small allocation with everything known about it, free to be bent before it is written.

    earlier: id and action of the contacts in the previous allocation. received: id, action and date of contacts in the history.
    """

    folder: Path
    users: pd.DataFrame
    mean: dict[str, np.ndarray]
    stderr: dict[str, np.ndarray]
    eligible: np.ndarray
    policy: Policy = field(default_factory=policy_of)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    certificate: dict = field(default_factory=dict)
    earlier: list[tuple[int, str]] = field(default_factory=list)
    received: list[tuple[int, str, date]] = field(default_factory=list)

    def judged(self) -> Audit:
        """What the judge says of it; the scores are written already."""
        allocation, previous = self.folder / "allocation", self.folder / "previous"
        for folder in (allocation, previous):
            folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pandas(self.rows, preserve_index=False), allocation / "part-0.parquet")
        (allocation / "certificate.json").write_text(json.dumps(self.certificate))
        earlier = pd.DataFrame(self.earlier, columns=["user_id", "action"])
        earlier = earlier.astype({"user_id": self.rows.user_id.dtype if len(self.rows) else "int64", "action": "str"})
        earlier.to_parquet(previous / "part-0.parquet", index=False)
        if self.received:
            write_history(self.folder / "scores", self.received)
        return audit(self.folder / "scores", self.policy, allocation, previous)

    def failures(self) -> set[str]:
        result = self.judged()
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

    def claim(self, rule: str) -> dict:
        """What the certificate says of a constraint."""
        return next(each for each in self.certificate["constraints"] if each["id"] == rule)

    def id_of(self, user: int) -> int:
        return int(self.users.user_id[user])


def random_case(folder: Path, rng: np.random.Generator) -> Case:
    """60 users whose rows and certificate are still to be made."""
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
    return Case(folder, users, mean, stderr, rng.random(shape) < 0.8)


def write_scores(case: Case, ids: type = int) -> None:
    """The scores in two files."""
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


def write_history(scores: Path, received: Sequence[tuple[int, str, date]]) -> None:
    """Contacts of earlier days inside the scores, in two files."""
    folder = scores / "history"
    folder.mkdir(exist_ok=True)
    user, action, day = ([row[column] for row in received] for column in range(3))
    table = pa.table({"user_id": user, "action": action, "date": pa.array(day, pa.date32())})
    half = len(received) // 2
    pq.write_table(table[:half], folder / "part-0.parquet")
    pq.write_table(table[half:], folder / "part-1.parquet")


def value_of(case: Case, user: int, action: int) -> float:
    value = 0.0
    for term in case.policy.objective:
        weight = term.weight * (ACTIONS[action][term.times] if term.times else 1.0)
        value += weight * float(case.mean[term.metric][user, action])
        value -= case.policy.risk_z * abs(weight) * float(case.stderr[term.metric][user, action])
    return value


def row_of(case: Case, user: int, action: int, source: str) -> dict:
    return {
        "user_id": case.id_of(user),
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


def slates(case: Case, user: int) -> Iterator[tuple[int, ...]]:
    """Every slate of allowed actions, one per slot, that keeps the contact rules, by enumeration."""
    for count in range(len(SPOTS) + 1):
        for slate in itertools.combinations(allowed(case, user), count):
            one_per_slot = len({ACTIONS[a]["slot"] for a in slate}) == count
            if one_per_slot and all(keeps(case, rule, user, slate) for rule in case.policy.contact):
                yield slate


def keeps(case: Case, rule: ContactRule, user: int, slate: Sequence[int]) -> bool:
    """Whether each value's contacts, or all of them, fit into what the rule has left for the user."""
    inside = [a for a in slate if rule.where.matches(ACTIONS[a])]
    if rule.spoils is not None:
        return sum(ACTIONS[a]["product"] in ("books", "duo") for a in inside) <= rule.max
    values = {None if rule.each is None else ACTIONS[a][rule.each] for a in inside}
    for value in values:
        count = sum(rule.each is None or ACTIONS[a][rule.each] == value for a in inside)
        if count > max(rule.max - had_before(case, rule, user, value), 0):
            return False
    return True


def had_before(case: Case, rule: ContactRule, user: int, value: str | None) -> int:
    """Contacts in the rule's scope that the user has received in its days."""
    if rule.days is None:
        return 0
    count, own = 0, case.id_of(user)
    for _, name, day in (row for row in case.received if row[0] == own):
        action = next((action for action in ACTIONS if action["id"] == name), None)
        if action is None or not rule.where.matches(action):
            continue
        count += 0 <= (TODAY - day).days < rule.days and (rule.each is None or action[rule.each] == value)
    return count


def groups(case: Case) -> tuple[np.ndarray, np.ndarray]:
    ids = case.users.user_id.to_numpy()
    return held_out(case.policy, ids), exploring(case.policy, ids)


def before_of(case: Case, user: int) -> set[str]:
    own = case.id_of(user)
    return {action for person, action in case.earlier if person == own}


def given_to(case: Case, user: int) -> list[str]:
    own = case.id_of(user)
    return [row.action for row in case.rows.itertuples() if row.user_id == own]


def allocate(case: Case) -> pd.DataFrame:
    """Each user's best slate, one random action for those who explore; every other user is given again what they had, if that may be."""
    held, explores = groups(case)
    rows = []
    for user in range(USERS):
        possible = list(slates(case, user))
        if explores[user]:
            rows += [row_of(case, user, slate[0], "exploration") for slate in possible if len(slate) == 1][:1]
        elif not held[user]:
            best = max(possible, key=lambda slate: sum(value_of(case, user, a) for a in slate))
            again = [slate for slate in possible if {IDS[a] for a in slate} == before_of(case, user)]
            chosen = again[0] if case.earlier and again and user % 2 else best
            rows += [row_of(case, user, a, "optimised") for a in chosen]
    return pd.DataFrame(rows)


def use(case: Case, rule: Constraint, user: int, action: int) -> tuple[float, float | None]:
    """What one contact adds to a constraint's numerator and denominator."""
    if rule.kind == "churn":
        return 0.0, None
    words = ACTIONS[action]
    inside = rule.users.matches(case.users.loc[user].to_dict()) and rule.where.matches(words)
    mean = {name: float(plane[user, action]) for name, plane in case.mean.items()}
    if rule.kind in ("volume", "change"):
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


def sides_of(case: Case, rule: Constraint) -> dict[str, float | None]:
    """The bounds of a constraint as counts or sums."""
    people = members(case, rule)
    if rule.kind == "churn":
        return {"min": None, "max": math.floor(Fraction(str(rule.max.amount)) * len(people))}
    if rule.kind == "change":
        part = Fraction(str(rule.max.amount))
        ids = {case.id_of(user) for user in people}
        before = sum(use(case, rule, people[0], IDS.index(a))[0] for u, a in case.earlier if u in ids and a in IDS)
        return {"min": max(math.ceil(before * (1 - part)), 0), "max": math.floor(before * (1 + part))}
    return {
        side: None if bound is None else bound.of(len(people)) for side, bound in (("min", rule.min), ("max", rule.max))
    }


def members(case: Case, rule: Constraint) -> list[int]:
    """The users in a constraint's scope."""
    return [user for user, record in enumerate(case.users.to_dict("records")) if rule.users.matches(record)]


def is_changed(case: Case, user: int) -> bool:
    return set(given_to(case, user)) != before_of(case, user)


def honest_certificate(case: Case, multiplier: float = 0.01) -> dict:
    """Everything the contract asks for, by plain loops over rows and slates; the multipliers are any numbers >= 0."""
    place = {int(user): position for position, user in enumerate(case.users.user_id)}
    contacts = [(place[row.user_id], IDS.index(row.action)) for row in case.rows.itertuples() if row.user_id in place]
    claims, penalty, priced, limits = [], 0.0, [], 0.0
    for rule in case.policy.constraints:
        sums = [use(case, rule, user, action) for user, action in contacts]
        numerator = sum(first for first, _ in sums)
        if rule.kind == "churn":
            numerator = sum(is_changed(case, user) for user in members(case, rule))
        denominator = None if rule.kind in COUNTED else sum(second for _, second in sums)
        achieved = numerator if denominator is None else numerator / denominator if denominator else None
        sides = sides_of(case, rule)
        side = "max" if sides["max"] is not None else "min"
        enforced = rule.strength.kind != "report_only"
        room = {"min": lambda at, got=achieved: got - at, "max": lambda at, got=achieved: at - got}
        signed = multiplier * enforced * (1 if side == "max" else -1)
        priced.append((rule, signed, sides[side]))
        unchanged = len(members(case, rule)) if rule.kind == "churn" else 0
        limits += signed * (sides[side] - unchanged) if denominator is None else 0.0
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


COUNTED = ("volume", "total", "change", "churn")


def best_net(case: Case, priced: list[tuple]) -> Iterator[float]:
    """Per user the best slate's value less what it uses at the multipliers, what was given before with churn's multipliers on top.

    Those who explore keep their rows, those who are held out get nothing.
    """
    held, explores = groups(case)
    for user in range(USERS):
        record = case.users.loc[user].to_dict()
        bonus = sum(signed for rule, signed, _ in priced if rule.kind == "churn" and rule.users.matches(record))
        net = {action: net_of(case, priced, user, action) for action in allowed(case, user)}
        if held[user]:
            yield 0.0 if is_changed(case, user) else bonus
        elif explores[user]:
            mine = case.rows[(case.rows.user_id == case.id_of(user)) & (case.rows.source == "exploration")]
            yield sum(net[IDS.index(action)] for action in mine.action) + (not is_changed(case, user)) * bonus
        else:
            before = before_of(case, user)
            yield max(
                sum(net[action] for action in slate) + bonus * ({IDS[action] for action in slate} == before)
                for slate in slates(case, user)
            )


def net_of(case: Case, priced: list[tuple], user: int, action: int) -> float:
    net = value_of(case, user, action)
    for rule, signed, bound in priced:
        numerator, denominator = use(case, rule, user, action)
        net -= signed * (numerator - (bound * denominator if denominator is not None else 0.0))
    return net
