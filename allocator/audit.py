"""The independent judge: recounts a finished allocation from scores, policy and rows, and shares no code with what made it.

It knows the contract alone. What a contact is worth, what a constraint sums, what one user may get and what bound the multipliers
give are all worked out here a second time, the simple way. User ids are never in what it reports.

Axes: U users of a shard, N contacts (rows) of a shard, A actions, L slots.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import Bound, Constraint, Filter, Policy, Term, TierFloor, tier_id
from ranker.scores import Catalogue, Scores, Shard, open_scores

TOLERANCE = 1e-9
SOURCES = ("optimised", "exploration", "fallback", "pinned")
COLUMNS = ("user_id", "action", "slot", "value", "margin", "runner_up", "source", "propensity")
USERS_PER_STEP = 65_536
ROWS_PER_STEP = 1_048_576
CELLS_PER_STEP = 4_000_000


@dataclass(frozen=True)
class Check:
    """One thing that was recounted. status: PASS or FAIL; detail: what was found, in a sentence."""

    name: str
    status: str
    detail: str

    @property
    def passed(self) -> bool:
        return self.status == "PASS"


@dataclass(frozen=True)
class Audit:
    """Everything that was recounted about one allocation. Nothing checked is not clean."""

    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict:
        checks = [{"name": check.name, "status": check.status, "detail": check.detail} for check in self.checks]
        return {"clean": self.clean, "checks": checks}


def audit(scores: Path, policy: Policy, allocation: Path, previous: Path | None = None) -> Audit:
    """Judges the allocation in a directory (rows and certificate.json) against the scores and the policy it claims to follow.

    previous: the earlier allocation that constraints of kind `change` compare with. The scores are streamed; the rows' ids,
    actions and values are held in memory (some 30 bytes a contact). An allocation that cannot be read is a failed audit;
    InputError is raised for scores that cannot be.
    """
    opened = open_scores(scores)
    policy = policy.active(opened.catalogue.as_of)
    try:
        certificate = _read_certificate(allocation / "certificate.json")
        rows = _read_rows(allocation, opened)
        before = _read_before(previous, policy, opened)
    except _Unreadable as error:
        return Audit((Check("readable", "FAIL", str(error)),))
    opened.check_users()
    judge = _Judge(opened, policy, certificate, rows, before)
    for shard in opened.shards():
        judge.see(shard)
    return Audit(tuple(judge.checks()))


def write_audit(path: Path, result: Audit) -> None:
    path.write_text(json.dumps(result.to_json(), indent=1) + "\n")


class _Unreadable(Exception):
    """The allocation is not a dataset of the contract."""


def _read_certificate(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise _Unreadable(f"certificate.json cannot be read ({type(error).__name__})") from None
    if not isinstance(content, dict) or not isinstance(content.get("constraints"), list):
        raise _Unreadable("certificate.json is not an object with a list of constraints")
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in content["constraints"]):
        raise _Unreadable("certificate.json has a constraint without an id")
    return content


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


@dataclass(frozen=True)
class _Rows:
    """The allocation's rows, sorted by user. action_N: code in the catalogue, -1 where unknown.

    source_N: position in SOURCES, -1 where unknown. value_N is NaN where missing. faults: what is wrong with rows, counted.
    """

    user_N: np.ndarray
    action_N: np.ndarray
    value_N: np.ndarray
    source_N: np.ndarray
    faults: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.user_N)

    def of(self, user_U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(position of the row, position of its user in user_U) of all rows of these users."""
        first_U = np.searchsorted(self.user_N, user_U, "left")
        count_U = np.searchsorted(self.user_N, user_U, "right") - first_U
        user_n = np.repeat(np.arange(len(user_U)), count_U)
        offset_n = np.arange(len(user_n)) - np.repeat(np.cumsum(count_U) - count_U, count_U)
        return np.repeat(first_U, count_U) + offset_n, user_n


def _comparable(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Ids as an array that sorts: int64, or numpy's strings."""
    if pa.types.is_integer(ids.type):
        return ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def _read_rows(allocation: Path, scores: Scores) -> _Rows:
    """Streams the rows into compact arrays: some 20 bytes a contact."""
    files = sorted(allocation.glob("*.parquet"))
    if not files:
        raise _Unreadable("there are no *.parquet files")
    wanted = pq.ParquetFile(scores.files[0]).schema_arrow.field("user_id").type
    opened = [_open_rows(file) for file in files]
    total = sum(parquet.metadata.num_rows for parquet in opened)
    action_N, source_N, value_N = np.empty(total, np.int16), np.empty(total, np.int8), np.empty(total)
    user_parts, faults, first = [_comparable(pa.chunked_array([], wanted))], Counter(), 0
    for parquet in opened:
        for table in _batches(parquet):
            part = slice(first, first := first + len(table))
            user_n, action_N[part], value_N[part], source_N[part] = _compact(table, wanted, scores.catalogue, faults)
            user_parts.append(user_n)
    user_N = np.concatenate(user_parts)
    user_parts.clear()
    if (user_N[1:] < user_N[:-1]).any():
        order_N = np.argsort(user_N, kind="stable")
        user_N, action_N, value_N, source_N = (each[order_N] for each in (user_N, action_N, value_N, source_N))
    return _Rows(user_N, action_N, value_N, source_N, faults)


def _open_rows(file: Path) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _Unreadable(f"the rows cannot be read ({type(error).__name__})") from None
    lacking = [name for name in COLUMNS if name not in parquet.schema_arrow.names]
    if lacking:
        raise _Unreadable(f"the rows lack the column {', '.join(lacking)}")
    return parquet


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.Table]:
    try:
        for batch in parquet.iter_batches(ROWS_PER_STEP, columns=list(COLUMNS)):
            yield pa.table(batch)
    except (pa.ArrowException, OSError) as error:
        raise _Unreadable(f"the rows cannot be read ({type(error).__name__})") from None


def _compact(
    table: pa.Table, wanted: pa.DataType, catalogue: Catalogue, faults: Counter[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(user, action, value, source) of some rows, what is wrong with them counted into `faults`."""
    users = table.column("user_id")
    if users.null_count or pa.types.is_integer(users.type) != pa.types.is_integer(wanted):
        raise _Unreadable(
            f"column user_id: is {users.type} with {users.null_count:,} missing; the scores have {wanted}"
        )
    action_N, source_N = _codes(table.column("action"), catalogue.ids), _codes(table.column("source"), SOURCES)
    value_N, propensity_N = _floats(table.column("value")), _floats(table.column("propensity"))
    slots = sorted(set(catalogue.slots))
    slot_A = np.array([slots.index(slot) for slot in catalogue.slots])
    runner_up = table.column("runner_up")
    wrong = {
        "have an action that is not in the catalogue": action_N < 0,
        "have another slot than their action": (_codes(table.column("slot"), slots) != slot_A[action_N])
        | (action_N < 0),
        "have an unknown source": source_N < 0,
        "have no finite value": ~np.isfinite(value_N),
        "have a propensity outside (0, 1]": ~((propensity_N > 0) & (propensity_N <= 1)),
        "have a runner_up that is not in the catalogue": (_codes(runner_up, catalogue.ids) < 0) & ~_missing(runner_up),
        "have an infinite margin": np.isinf(_floats(table.column("margin"))),
    }
    faults.update({name: int(np.count_nonzero(wrong_N)) for name, wrong_N in wrong.items()})
    return _comparable(users), action_N.astype(np.int16), value_N, source_N.astype(np.int8)


def _read_before(previous: Path | None, policy: Policy, scores: Scores) -> pd.DataFrame | None:
    """Users and actions of the earlier allocation where a constraint compares with it; actions that are gone are left out."""
    if not any(rule.kind == "change" for rule in policy.constraints):
        return None
    files = [] if previous is None else sorted(previous.glob("*.parquet"))
    if not files:
        raise _Unreadable("the policy compares with an earlier allocation, and there is none to read")
    try:
        parts = [pq.ParquetFile(file).read(columns=["user_id", "action"]) for file in files]
        frame = pd.concat([part.to_pandas() for part in parts], ignore_index=True)
    except (pa.ArrowException, OSError) as error:
        raise _Unreadable(f"the earlier allocation cannot be read ({type(error).__name__})") from None
    if set(frame) != {"user_id", "action"}:
        raise _Unreadable("the earlier allocation has no user_id or no action")
    known = frame["action"].isin(scores.catalogue.ids)
    position = {action: code for code, action in enumerate(scores.catalogue.ids)}
    return frame[known].assign(action=frame["action"][known].map(position).astype("int64"))


def _codes(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    found = pc.index_in(column.cast(pa.string()), pa.array(values, pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_null().to_numpy()


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).fill_null(math.nan).to_numpy()


def _actions(words: Filter | None, catalogue: Catalogue) -> np.ndarray:
    """bool[A]."""
    if words is None:
        return np.ones(len(catalogue.actions), bool)
    return np.array([words.matches(action) for action in catalogue.actions], bool)


def _users(words: Filter, shard: Shard, vocabulary: Mapping[str, Sequence[str]]) -> np.ndarray:
    """bool[U]: the users of the shard whom the filter passes."""
    passed_U = np.ones(len(shard), bool)
    for name, values in words.keys:
        wanted = np.array([known in values for known in vocabulary[name]], bool)
        passed_U &= wanted[shard.segments[name]] if len(wanted) else False
    if words.negated is not None:
        passed_U &= ~_users(words.negated, shard, vocabulary)
    return passed_U


def _times(attribute: str | None, catalogue: Catalogue) -> np.ndarray:
    """float64[A]: an action without the attribute counts 0."""
    if attribute is None:
        return np.ones(len(catalogue.actions))
    found = [action.get(attribute) for action in catalogue.actions]
    return np.array([float(x) if isinstance(x, int | float) and not isinstance(x, bool) else 0.0 for x in found])


@dataclass(frozen=True)
class _Part:
    """Half of a constraint: the sum over contacts of weight_A, times a metric's mean where there is one."""

    weight_A: np.ndarray
    metric: str | None

    def of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> np.ndarray:
        """float64[N]: what each contact adds."""
        weight_n = self.weight_A[action_n]
        return (
            weight_n if self.metric is None else weight_n * shard.mean[self.metric][user_n, action_n].astype(np.float64)
        )


@dataclass(frozen=True)
class _Worth:
    """What contacts are worth by an objective: the sum over its terms of weight * metric [* times], risk taken off."""

    terms: Sequence[Term]
    risk_z: float
    catalogue: Catalogue

    def of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> np.ndarray:
        """float64[N]: what each contact adds."""
        return self.parts_of(shard, user_n, action_n)[0]

    def parts_of(self, shard: Shard, user_n: np.ndarray, action_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64[N] twice: what each contact adds, and the sum of the absolute terms."""
        value_n, absolute_n = np.zeros(len(user_n)), np.zeros(len(user_n))
        for term in self.terms:
            mean_n = shard.mean[term.metric][user_n, action_n].astype(np.float64)
            weight_n = (term.weight * _times(term.times, self.catalogue))[action_n]
            value_n += weight_n * mean_n
            absolute_n += np.abs(weight_n * mean_n)
            if self.risk_z > 0:
                risk_n = self.risk_z * np.abs(weight_n) * shard.stderr[term.metric][user_n, action_n]
                value_n -= risk_n
                absolute_n += risk_n
        return value_n, absolute_n

    def add_to(self, mean: Mapping[str, np.ndarray], spread: Mapping[str, np.ndarray], factor: float) -> None:
        """Adds `factor` times this objective to the weights of means and standard errors."""
        for term in self.terms:
            weight_A = term.weight * _times(term.times, self.catalogue)
            mean[term.metric] += factor * weight_A
            spread[term.metric] -= factor * self.risk_z * np.abs(weight_A)


def _parts(rule: Constraint, catalogue: Catalogue) -> tuple[_Part, _Part | None]:
    """Numerator and denominator of a constraint, straight from the contract's definitions."""
    where_A = _actions(rule.where, catalogue)
    if rule.kind in ("volume", "change"):
        return _Part(where_A.astype(float), None), None
    if rule.kind == "share":
        of_A = _actions(rule.of, catalogue)
        return _Part((where_A & of_A).astype(float), None), _Part(of_A.astype(float), None)
    numerator = _Part(where_A * _times(rule.times, catalogue), rule.metric)
    if rule.kind == "total":
        return numerator, None
    if rule.kind == "average":
        return numerator, _Part(where_A.astype(float), None)
    return numerator, _Part(where_A * _times(rule.per.times, catalogue), rule.per.metric)


@dataclass
class _Sum:
    """A sum and the sum of the absolute terms, to which rounding errors are relative."""

    value: float = 0.0
    absolute: float = 0.0

    def add(self, terms_n: np.ndarray) -> None:
        self.value += float(terms_n.sum(dtype=np.float64))
        self.absolute += float(np.abs(terms_n).sum(dtype=np.float64))

    @property
    def slip(self) -> float:
        return TOLERANCE * self.absolute


@dataclass
class _Recount:
    """A constraint, recounted so far."""

    rule: Constraint
    parts: tuple[_Part | _Worth, _Part | None]
    numerator: _Sum = field(default_factory=_Sum)
    denominator: _Sum = field(default_factory=_Sum)
    users: int = 0
    before: int = 0

    @property
    def counts(self) -> bool:
        """Whether both halves are numbers of contacts, which hold exactly."""
        return self.rule.kind in ("volume", "share", "change")

    @property
    def achieved(self) -> float | None:
        if self.parts[1] is None:
            return self.numerator.value
        return self.numerator.value / self.denominator.value if self.denominator.value else None

    def bound(self, side: str) -> Fraction | None:
        if self.rule.kind == "change":
            part = Fraction(repr(self.rule.max.amount))
            if side == "max":
                return Fraction(math.floor(self.before * (1 + part)))
            return Fraction(max(0, math.ceil(self.before * (1 - part))))
        bound = getattr(self.rule, side)
        return None if bound is None else bound.exact(self.users)

    def violation(self, side: str) -> float:
        """By how much the side's row is broken, in units of the numerator: 0 where it holds, exactly or to the tolerance."""
        bound = self.bound(side)
        if bound is None:
            return 0.0
        over = self._over(bound) * (1 if side == "max" else -1)
        if over <= 0 or self.counts:
            return float(max(over, 0))
        slip = self.numerator.slip + abs(float(bound)) * (self.denominator.slip if self.parts[1] else TOLERANCE)
        return 0.0 if over <= slip else float(over)

    def _over(self, bound: Fraction) -> Fraction:
        """sum num - bound * sum den, den being 1 for a volume or a total."""
        denominator = Fraction(1) if self.parts[1] is None else Fraction(self.denominator.value)
        return Fraction(self.numerator.value) - bound * denominator


class _Seen:
    """A shard with what is asked of it again and again: who is held out, who explores, and who is in a filter over users."""

    def __init__(self, shard: Shard, policy: Policy, vocabulary: Mapping[str, Sequence[str]]):
        self.shard = shard
        self.held_U = held_out(policy, shard.user_id)
        self.explores_U = exploring(policy, shard.user_id, self.held_U)
        self.pinned_U = np.zeros(len(shard), bool)
        self._vocabulary = vocabulary
        self._members: dict[Filter, np.ndarray] = {}

    def members(self, words: Filter) -> np.ndarray:
        """bool[U]."""
        if words not in self._members:
            self._members[words] = _users(words, self.shard, self._vocabulary)
        return self._members[words]

    def alike(self, filters: Sequence[Filter]) -> Iterator[np.ndarray]:
        """The positions of users who are in the same of these filters, group after group."""
        kind_U = np.zeros(len(self.shard), np.int64)
        for words in dict.fromkeys(filters):
            kind_U = pd.factorize(2 * kind_U + self.members(words))[0]
        order_U = np.argsort(kind_U, kind="stable")
        edges = np.flatnonzero(np.diff(kind_U[order_U])) + 1
        yield from (user_u for user_u in np.split(order_U, edges) if len(user_u))


@dataclass(frozen=True)
class _ToldTier:
    """An earlier tier as the certificate tells it."""

    id: str
    value: float
    bound: float
    floor: float


@dataclass
class _Judge:
    """Sees every shard once, then says what it found."""

    scores: Scores
    policy: Policy
    certificate: Mapping
    rows: _Rows
    before: pd.DataFrame | None = None

    matched: int = 0
    twice: int = 0
    ineligible: int = 0
    forbidden: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    held_contacts: int = 0
    wrong_source: int = 0
    wrong_value: int = 0
    wrong_pins: int = 0
    wrong_fallbacks: int = 0
    fallbacks: int = 0
    left_without: int = 0
    value: _Sum = field(default_factory=_Sum)
    fallback_value: _Sum = field(default_factory=_Sum)
    best: _Sum = field(default_factory=_Sum)
    totals: dict[str, _Sum] = field(default_factory=dict)
    recounts: list[_Recount] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recounts = [_Recount(rule, _parts(rule, self.catalogue)) for rule in self.policy.constraints]
        for tier, told in zip(self.policy.tiers[:-1], self.told_tiers, strict=False):
            rule = TierFloor(id=told.id, min=Bound(told.floor))
            self.recounts.append(_Recount(rule, (_Worth(tier.objective, self.policy.risk_z, self.catalogue), None)))
        self.totals = {metric.name: _Sum() for metric in self.catalogue.metrics}

    @cached_property
    def told_tiers(self) -> list["_ToldTier"]:
        """What the certificate says of the earlier tiers; a tier without its numbers is not counted."""
        listed = self.certificate.get("tiers", [])
        listed = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list | tuple) else []
        return [
            _ToldTier(tier_id(position), *(_number(each.get(key)) for key in ("value", "bound", "floor")))
            for position, each in enumerate(listed)
            if None not in (_number(each.get(key)) for key in ("value", "bound", "floor"))
        ]

    @property
    def catalogue(self) -> Catalogue:
        return self.scores.catalogue

    def see(self, shard: Shard) -> None:
        """Counts one shard's users and their rows."""
        row_n, user_n = self.rows.of(_comparable(shard.user_id))
        self.matched += len(row_n)
        known_n = self.rows.action_N[row_n] >= 0
        row_n, user_n = row_n[known_n], user_n[known_n]
        action_n = self.rows.action_N[row_n]
        seen = _Seen(shard, self.policy, self.scores.vocabulary)
        self._see_pinned(seen, user_n, action_n, self.rows.source_N[row_n])
        self._see_fallback(seen, user_n, action_n, self.rows.source_N[row_n])
        self._see_user_rules(seen, user_n, action_n)
        self._see_groups(seen, user_n, self.rows.source_N[row_n])
        self._see_values(shard, row_n, user_n, action_n)
        self._see_constraints(seen, user_n, action_n)
        if self.before is not None:
            self._see_before(seen)
        self._see_bound(seen, user_n, action_n)

    def _see_pinned(self, seen: "_Seen", user_n: np.ndarray, action_n: np.ndarray, source_n: np.ndarray) -> None:
        """Works out who is pinned to what, rule after rule, and compares it with the rows; whoever is pinned does not explore."""
        want_UA = np.zeros((len(seen.shard), len(self.catalogue.actions)), bool)
        for rule in self.policy.pinned:
            action = self.catalogue.ids.index(rule.action)
            want_U = seen.members(rule.users) & ~seen.held_U & self._allowed(seen)[:, action]
            slot_A = np.array([slot == self.catalogue.slots[action] for slot in self.catalogue.slots])
            want_U &= ~want_UA[:, slot_A].any(axis=1)
            for _, scope_A, most in self.caps:
                if scope_A[action]:
                    want_U &= want_UA[:, scope_A].sum(axis=1) < most
            want_UA[:, action] |= want_U
        got_UA = np.zeros_like(want_UA)
        is_pinned_n = source_n == SOURCES.index("pinned")
        got_UA[user_n[is_pinned_n], action_n[is_pinned_n]] = True
        seen.pinned_U = want_UA.any(axis=1)
        seen.explores_U &= ~seen.pinned_U
        self.wrong_pins += int((want_UA != got_UA).sum()) + int((seen.pinned_U[user_n] & ~is_pinned_n).sum())

    def _see_fallback(self, seen: "_Seen", user_n: np.ndarray, action_n: np.ndarray, source_n: np.ndarray) -> None:
        """Fallbacks are for users in scope whom nothing else was given; those in scope without a row are counted."""
        fell_n = source_n == SOURCES.index("fallback")
        if self.policy.fallback is None:
            self.wrong_fallbacks += int(fell_n.sum())
            return
        named_A = np.isin(self.catalogue.ids, self.policy.fallback.action)
        free_U = ~(seen.held_U | seen.explores_U | seen.pinned_U)
        scope_U = free_U & seen.members(self.policy.fallback.users)
        got_U = np.bincount(user_n, minlength=len(seen.shard))
        right_n = scope_U[user_n] & named_A[action_n] & (got_U[user_n] == 1)
        self.wrong_fallbacks += int((fell_n & ~right_n).sum())
        self.fallbacks += int(fell_n.sum())
        self.left_without += int((scope_U & (got_U == 0)).sum())

    def _allowed(self, seen: "_Seen") -> np.ndarray:
        """bool[U, A]: eligible in the scores, and not forbidden by a rule."""
        allowed_UA = seen.shard.eligible_UA.copy()
        for rule in self.policy.eligibility:
            allowed_UA &= ~(seen.members(rule.users)[:, None] & _actions(rule.forbid, self.catalogue))
        return allowed_UA

    def _see_user_rules(self, seen: "_Seen", user_n: np.ndarray, action_n: np.ndarray) -> None:
        shard = seen.shard
        slot_A = np.unique(np.array(self.catalogue.slots), return_inverse=True)[1]
        got_UL = np.bincount(user_n * (int(slot_A.max()) + 1) + slot_A[action_n])
        self.twice += int(np.maximum(got_UL - 1, 0).sum())
        self.ineligible += int(np.count_nonzero(~shard.eligible_UA[user_n, action_n]))
        for rule in self.policy.eligibility:
            inside_n = seen.members(rule.users)[user_n] & _actions(rule.forbid, self.catalogue)[action_n]
            self.forbidden[rule.id] = self.forbidden.get(rule.id, 0) + int(inside_n.sum())
        for name, scope_A, most in self.caps:
            got_U = np.bincount(user_n[scope_A[action_n]], minlength=len(shard))
            self.broken[name] = self.broken.get(name, 0) + int(np.count_nonzero(got_U > most))

    @cached_property
    def caps(self) -> list[tuple[str, np.ndarray, int]]:
        """(id, actions in scope, most contacts) of every contact rule, a rule with `each` once per value."""
        found = []
        for rule in self.policy.contact:
            scope_A = _actions(rule.where, self.catalogue)
            if rule.each is None:
                found.append((rule.id, scope_A, rule.max))
                continue
            value_A = np.array([action.get(rule.each) for action in self.catalogue.actions], dtype=object)
            for value in dict.fromkeys(value for value in value_A if value is not None):
                found.append((rule.id, scope_A & (value_A == value), rule.max))
        return found

    def _see_groups(self, seen: "_Seen", user_n: np.ndarray, source_n: np.ndarray) -> None:
        self.held_contacts += int(seen.held_U[user_n].sum())
        explores_n = seen.explores_U[user_n]
        self.wrong_source += int(np.count_nonzero(explores_n != (source_n == SOURCES.index("exploration"))))

    def _see_values(self, shard: Shard, row_n: np.ndarray, user_n: np.ndarray, action_n: np.ndarray) -> None:
        worth = _Worth(self.policy.objective, self.policy.risk_z, self.catalogue)
        value_n, absolute_n = worth.parts_of(shard, user_n, action_n)
        claimed_n = self.rows.value_N[row_n]
        self.wrong_value += int(np.count_nonzero(~(np.abs(claimed_n - value_n) <= TOLERANCE * absolute_n)))
        self.fallback_value.add(value_n[self.rows.source_N[row_n] == SOURCES.index("fallback")])
        self.value.value += float(value_n.sum())
        self.value.absolute += float(absolute_n.sum())
        for name, total in self.totals.items():
            total.add(shard.mean[name][user_n, action_n].astype(np.float64))

    def _see_constraints(self, seen: "_Seen", user_n: np.ndarray, action_n: np.ndarray) -> None:
        for recount in self.recounts:
            member_U = seen.members(recount.rule.users)
            inside_n = member_U[user_n]
            for part, total in zip(recount.parts, (recount.numerator, recount.denominator), strict=True):
                if part is not None:
                    total.add(part.of(seen.shard, user_n[inside_n], action_n[inside_n]))
            recount.users += int(member_U.sum())

    def _see_before(self, seen: "_Seen") -> None:
        """Earlier contacts of this shard's users, within each constraint that compares with them."""
        users = pd.Index(seen.shard.user_id.to_pandas())
        user_n = users.get_indexer(self.before["user_id"])
        action_n = self.before["action"].to_numpy()[user_n >= 0]
        user_n = user_n[user_n >= 0]
        for recount in self.recounts:
            if recount.rule.kind == "change":
                inside_n = seen.members(recount.rule.users)[user_n] & (recount.parts[0].weight_A[action_n] > 0)
                recount.before += int(inside_n.sum())

    # The bound: L = sum_r multiplier_r * limit_r + sum_u max over slates of (value - sum_r multiplier_r * g_r).

    @cached_property
    def claims(self) -> Mapping[str, Mapping]:
        return {each["id"]: each for each in self.certificate["constraints"]}

    def _multiplied(self, recount: _Recount) -> tuple[float, float]:
        """(signed multiplier, bound) of a constraint's row: + for its max, - for its min; (0, 0) where it has none."""
        claim = self.claims.get(recount.rule.id, {})
        multiplier, side = _number(claim.get("multiplier")), _priced_side(claim)
        if not multiplier or side is None or recount.rule.strength.kind == "report_only":
            return 0.0, 0.0
        bound = _number(claim.get(side))
        return (0.0, 0.0) if bound is None else (multiplier if side == "max" else -multiplier, bound)

    def _see_bound(self, seen: "_Seen", user_n: np.ndarray, action_n: np.ndarray) -> None:
        net_UA = self._net(seen)
        fixed_n = (seen.explores_U | seen.pinned_U)[user_n]
        self.best.add(net_UA[user_n[fixed_n], action_n[fixed_n]])
        allowed_UA = self._allowed(seen) & ~(seen.explores_U | seen.pinned_U | seen.held_U)[:, None]
        net_UA[~allowed_UA] = -np.inf
        self.best.add(self.slates.best(net_UA))

    @cached_property
    def slates(self) -> "_Slates":
        return _Slates(
            np.unique(np.array(self.catalogue.slots), return_inverse=True)[1], [cap[1:] for cap in self.caps]
        )

    def _net(self, seen: "_Seen") -> np.ndarray:
        """float64[U, A]: the value of each contact less what its use of the constraints costs at the multipliers.

        Users who are in the same constraints share all coefficients, so they are worked on together.
        """
        priced = [(recount, *row) for recount in self.recounts if (row := self._multiplied(recount))[0]]
        net_UA = np.empty((len(seen.shard), len(self.catalogue.actions)))
        for user_u in seen.alike([recount.rule.users for recount, *_ in priced]):
            inside = [row for row in priced if seen.members(row[0].rule.users)[user_u[0]]]
            net_UA[user_u] = self._net_alike(seen.shard, user_u, inside)
        return net_UA

    def _net_alike(self, shard: Shard, user_u: np.ndarray, priced: Sequence[tuple]) -> np.ndarray:
        mean, spread, constant_A = self._coefficients(priced)
        net_uA = np.tile(constant_A, (len(user_u), 1))
        for planes, weights in ((shard.mean, mean), (shard.stderr, spread)):
            for metric, weight_A in weights.items():
                if weight_A.any():
                    net_uA += planes[metric][user_u].astype(np.float64) * weight_A
        return net_uA

    def _coefficients(self, priced: Sequence[tuple]) -> tuple[dict, dict, np.ndarray]:
        """Per metric the weight of its mean and of its stderr, and the constant, float64[A] each."""
        actions = len(self.catalogue.actions)
        mean = {metric.name: np.zeros(actions) for metric in self.catalogue.metrics}
        spread = {name: np.zeros(actions) for name in mean}
        constant_A = np.zeros(actions)
        _Worth(self.policy.objective, self.policy.risk_z, self.catalogue).add_to(mean, spread, 1.0)
        for recount, multiplier, bound in priced:
            numerator, denominator = recount.parts
            if isinstance(numerator, _Worth):
                numerator.add_to(mean, spread, -multiplier)
                continue
            for part, factor in ((numerator, 1.0), (denominator, -bound)):
                if part is not None:
                    target_A = constant_A if part.metric is None else mean[part.metric]
                    target_A -= multiplier * factor * part.weight_A
        return mean, spread, constant_A

    # What was found.

    def checks(self) -> Iterator[Check]:
        """Every check, in the order of the contract."""
        yield self._rows_check()
        yield _zero("users", len(self.rows) - self.matched, "rows are for users who are not in the scores")
        yield _zero("slots", self.twice, "rows give a user a second action in one slot")
        yield self._eligibility_check()
        yield from (
            _zero(f"contact {name}", count, "users get more than the rule allows") for name, count in self._broken()
        )
        yield _zero("holdout", self.held_contacts, "rows are for users who are held out")
        yield _zero(
            "exploration", self.wrong_source, "rows have a source that does not fit whether their user explores"
        )
        yield _zero("pinned", self.wrong_pins, "contacts are not as the pinned rules have them")
        yield _zero("fallback", self.wrong_fallbacks, "rows fall back where the policy does not say so")
        yield _zero("row values", self.wrong_value, "rows have a value that the scores do not give")
        yield from self._constraint_checks()
        yield from self._certificate_checks()

    def _broken(self) -> list[tuple[str, int]]:
        names = [rule.id for rule in self.policy.contact]
        return [(name, self.broken.get(name, 0)) for name in names]

    def _rows_check(self) -> Check:
        wrong = [f"{count:,} rows {what}" for what, count in self.rows.faults.items() if count]
        return _check("rows", wrong, f"{len(self.rows):,} rows are well formed")

    def _eligibility_check(self) -> Check:
        wrong = [f"{self.ineligible:,} rows are not eligible in the scores"] if self.ineligible else []
        wrong += [f"{count:,} rows break {name}" for name, count in self.forbidden.items() if count]
        return _check("eligibility", wrong, "every contact is eligible")

    def _constraint_checks(self) -> Iterator[Check]:
        ids = [each["id"] for each in self.certificate["constraints"]]
        wanted = [recount.rule.id for recount in self.recounts]
        wrong = [] if sorted(ids) == sorted(wanted) else ["the certificate's constraints are not those of the policy"]
        yield _check("constraints", wrong, f"{len(wanted)} constraints, each certified once")
        for recount in self.recounts:
            claim = self.claims.get(recount.rule.id)
            wrong = list(_violations(recount)) + ([] if claim is None else list(_false_claims(recount, claim)))
            achieved = recount.achieved
            told = "nothing is in scope" if achieved is None else f"achieved {achieved:,.10g}"
            yield _check(f"constraint {recount.rule.id}", wrong, told)

    def _certificate_checks(self) -> Iterator[Check]:
        claim, penalty = self.certificate, self.penalty
        value, slip = self.value.value - penalty, self.value.slip + TOLERANCE * penalty
        yield _equal("certificate users", claim.get("users"), self.scores.users, 0)
        yield _equal("certificate contacts", claim.get("contacts"), len(self.rows), 0)
        yield _equal("certificate value", claim.get("value"), value, slip)
        yield _equal("certificate soft_penalty", claim.get("soft_penalty", 0.0), penalty, slip)
        yield self._bound_check(slip)
        yield self._gap_check(slip)
        yield from self._metric_checks()
        yield from self._fallback_checks()
        yield from self._tier_checks()
        if "policy_digest" in claim:
            wrong = [] if claim["policy_digest"] == self.policy.digest else ["it is of another policy"]
            yield _check("certificate policy_digest", wrong, "it is of this policy")

    @property
    def penalty(self) -> float:
        """What the violations of soft constraints cost."""
        soft = [recount for recount in self.recounts if recount.rule.strength.kind == "soft"]
        return sum(each.rule.strength.penalty * (each.violation("min") + each.violation("max")) for each in soft)

    def _bound_check(self, slip: float) -> Check:
        total, absolute = self.best.value, self.best.absolute
        for recount in self.recounts:
            multiplier, bound = self._multiplied(recount)
            if recount.parts[1] is None:
                total += multiplier * bound
                absolute += abs(multiplier * bound)
        claimed = _number(self.certificate.get("bound"))
        wrong = (
            []
            if claimed is not None and abs(claimed - total) <= TOLERANCE * absolute
            else [f"the certificate says {_told(claimed)}, its multipliers give {total:.12g}"]
        )
        if (
            claimed is not None
            and (_number(self.certificate.get("value")) or 0.0) > claimed + slip + TOLERANCE * absolute
        ):
            wrong.append("the value is above the bound")
        return _check("certificate bound", wrong, f"{total:.12g}, recomputed from the multipliers")

    def _gap_check(self, slip: float) -> Check:
        value, bound = _number(self.certificate.get("value")), _number(self.certificate.get("bound"))
        if value is None or bound is None:
            return Check("certificate gap", "FAIL", "there is no value or no bound to take it from")
        gap = (bound - value) / abs(bound) if bound else 0.0 if abs(value) <= slip else math.inf
        return _equal("certificate gap", self.certificate.get("gap"), gap, TOLERANCE * max(1.0, abs(gap)))

    def _tier_checks(self) -> Iterator[Check]:
        """Each floor follows from what its tier reached, which no bound is below; that the floor holds is a constraint's check."""
        earlier = self.policy.tiers[:-1]
        if len(self.told_tiers) != len(earlier):
            yield Check(
                "tiers", "FAIL", f"the certificate has {len(self.told_tiers)} earlier tiers, not {len(earlier)}"
            )
        for tier, told in zip(earlier, self.told_tiers, strict=False):
            floor = told.value - float(tier.part) * abs(told.value)
            yield _equal(f"certificate {told.id} floor", told.floor, floor, TOLERANCE * abs(told.value))
            wrong = told.value > told.bound + TOLERANCE * abs(told.bound)
            yield _check(f"certificate {told.id}", ["its value is above its bound"] if wrong else [], "value <= bound")

    def _fallback_checks(self) -> Iterator[Check]:
        told = self.certificate.get("fallback")
        if self.policy.fallback is not None:
            told = told if isinstance(told, dict) else {}
            for name, count in (("contacts", self.fallbacks), ("left_without", self.left_without)):
                yield _equal(f"certificate fallback.{name}", told.get(name), count, 0)
            # Each value may differ by the rounding of its terms, as in the value of all rows.
            yield _equal("certificate fallback.value", told.get("value"), self.fallback_value.value, self.value.slip)

    def _metric_checks(self) -> Iterator[Check]:
        metrics = self.certificate.get("metrics", {})
        for name, total in self.totals.items():
            if isinstance(metrics, dict) and isinstance(metrics.get(name), dict):
                yield _equal(f"certificate metrics.{name}", metrics[name].get("total"), total.value, total.slip)


def _number(value: object) -> float | None:
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )


def _told(value: object) -> str:
    return "nothing" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _check(name: str, wrong: Sequence[str], right: str) -> Check:
    return Check(name, "FAIL" if wrong else "PASS", "; ".join(wrong) if wrong else right)


def _zero(name: str, count: int, what: str) -> Check:
    return Check(name, "FAIL" if count else "PASS", f"{count:,} {what}")


def _equal(name: str, claimed: object, recounted: float, slip: float) -> Check:
    number = _number(claimed)
    wrong = number is None or not abs(number - recounted) <= slip
    return _check(
        name,
        [f"the certificate says {_told(claimed)}, the recount {recounted:.12g}"] if wrong else [],
        f"{recounted:.12g}",
    )


def _violations(recount: _Recount) -> Iterator[str]:
    if recount.rule.strength.kind != "hard":
        return
    for side, word in (("min", "below"), ("max", "above")):
        if recount.violation(side) > 0:
            achieved = recount.achieved
            shown = f"{recount.numerator.value:.12g} over nothing" if achieved is None else f"{achieved:.12g}"
            yield f"{shown} is {word} the {side}imum {float(recount.bound(side)):.12g}"


def _priced_side(claim: Mapping) -> str | None:
    """The bound that the certificate's multiplier belongs to: the only one there is, or the one that binds."""
    given = [side for side in ("min", "max") if _number(claim.get(side)) is not None]
    if len(given) == 1:
        return given[0]
    return claim.get("binding") if claim.get("binding") in given else None


def _false_claims(recount: _Recount, claim: Mapping) -> Iterator[str]:
    """What the certificate says about a constraint and the recount does not."""
    yield from _false_bounds(recount, claim)
    achieved, slip = recount.achieved, _ratio_slip(recount)
    for name, part in (("numerator", recount.numerator), ("denominator", recount.denominator)):
        number = _number(claim.get(name))
        if number is not None and recount.parts[name == "denominator"] and abs(number - part.value) > part.slip:
            yield f"the {name} is {part.value:.12g}, the certificate says {number:.12g}"
    told = claim.get("achieved")
    if (achieved is None) != (told is None) or (
        achieved is not None and not abs((_number(told) if _number(told) is not None else math.inf) - achieved) <= slip
    ):
        yield f"achieved is {_told(achieved)}, the certificate says {_told(told)}"
    yield from _false_slack(recount, claim, slip)
    yield from _false_multiplier(recount, claim)


def _ratio_slip(recount: _Recount) -> float:
    """Rounding error of `achieved`: that of the numerator, and of the quotient."""
    if recount.parts[1] is None:
        return recount.numerator.slip
    divisor = abs(recount.denominator.value)
    if not divisor:
        return 0.0
    return (recount.numerator.slip + abs(recount.achieved) * recount.denominator.slip) / divisor


def _false_bounds(recount: _Recount, claim: Mapping) -> Iterator[str]:
    """A certified bound is the policy's; for a volume a fractional one may be told as the count that it comes to."""
    for side, whole in (("min", math.ceil), ("max", math.floor)):
        bound, told = recount.bound(side), _number(claim.get(side))
        if bound is None or told is None:
            if (bound is None) != (claim.get(side) is None):
                policy = None if bound is None else float(bound)
                yield f"the policy's {side}imum is {_told(policy)}, the certificate says {_told(claim.get(side))}"
            continue
        same = abs(told - float(bound)) <= 1e-12 * abs(float(bound))
        if not same and not (recount.rule.kind == "volume" and told == whole(bound)):
            yield f"the policy's {side}imum is {float(bound):.12g}, the certificate says {told:.12g}"


def _false_slack(recount: _Recount, claim: Mapping, slip: float) -> Iterator[str]:
    """slack is the distance from the binding bound, or from the nearer one, negative where it is broken."""
    achieved, told, binding = recount.achieved, claim.get("slack"), claim.get("binding")
    sides = {side: _number(claim.get(side)) for side in ("min", "max")}
    room = {
        side: (achieved - at if side == "min" else at - achieved)
        for side, at in sides.items()
        if None not in (at, achieved)
    }
    if binding is not None and sides.get(binding) is None:
        yield f"the {binding} that is said to bind is not there"
    if not room:
        if told is not None:
            yield f"the certificate says slack {told} where there is none to speak of"
        return
    wanted = room.get(binding, min(room.values()))
    slip += TOLERANCE * max(abs(at) for at in sides.values() if at is not None)
    if _number(told) is None or abs(told - wanted) > slip:
        yield f"slack is {wanted:.12g}, the certificate says {_told(told)}"


def _false_multiplier(recount: _Recount, claim: Mapping) -> Iterator[str]:
    """multiplier and price are at least 0, belong to a bound, and at a soft constraint cost no more than breaking it."""
    for name in ("multiplier", "price"):
        number = _number(claim.get(name))
        if number is None or number < 0:
            yield f"{name} is {_told(claim.get(name))}; a number of at least 0 is needed"
    multiplier, strength = _number(claim.get("multiplier")) or 0.0, recount.rule.strength
    if multiplier > 0 and strength.kind == "report_only":
        yield "it is not enforced but has a multiplier"
    if multiplier > 0 and _priced_side(claim) is None:
        yield "its multiplier does not say which bound it belongs to"
    if strength.kind == "soft" and multiplier > strength.penalty * (1 + TOLERANCE):
        yield f"its multiplier {multiplier:.12g} is above the penalty {strength.penalty:.12g}"


class _Slates:
    """The value of a user's best slate, exactly: at most one action per slot, and every cap kept.

    Slot after slot, remembering only what later slots still depend on: per cap, how many contacts it has left, as far as the
    slots to come could use them up. Actions of one slot that count towards the same caps differ in value alone, so the best of
    them stands for all.
    """

    def __init__(self, slot_A: np.ndarray, caps: Sequence[tuple[np.ndarray, int]]):
        self.slot_A = slot_A
        slots = int(slot_A.max()) + 1
        # A cap that covers fewer slots than it allows contacts never binds.
        self.caps = [(scope_A, most) for scope_A, most in caps if most < len(np.unique(slot_A[scope_A]))]
        self.steps = [self._twins(slot) for slot in range(slots)]
        touched_LC = np.array(
            [[bool(scope_A[slot_A == slot].any()) for scope_A, _ in self.caps] for slot in range(slots)]
        )
        later = touched_LC.reshape(slots, len(self.caps))[::-1].cumsum(axis=0)[::-1]
        self.left_LC = np.vstack([later, np.zeros((1, len(self.caps)), int)]).astype(int)

    def _twins(self, slot: int) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """(the caps that they count towards, the actions), for each kind of action in the slot."""
        kinds: dict[tuple[int, ...], list[int]] = {}
        for action in np.flatnonzero(self.slot_A == slot):
            kinds.setdefault(tuple(c for c, (scope_A, _) in enumerate(self.caps) if scope_A[action]), []).append(
                int(action)
            )
        return [(caps, np.array(actions)) for caps, actions in kinds.items()]

    def best(self, net_UA: np.ndarray) -> np.ndarray:
        """float64[U]: the best slate's value, 0 for none; -inf marks what is not allowed."""
        best_U = np.empty(len(net_UA))
        for start in range(0, len(net_UA), USERS_PER_STEP):
            part = slice(start, start + USERS_PER_STEP)
            best_U[part] = self._best_of_some(net_UA[part])
        return best_U

    def _best_of_some(self, net_UA: np.ndarray) -> np.ndarray:
        """Users whose best action of every slot already keeps the caps are done; the others are worked out."""
        in_slot = [np.flatnonzero(self.slot_A == slot) for slot in range(len(self.steps))]
        top_UL = np.stack([actions[net_UA[:, actions].argmax(axis=1)] for actions in in_slot], axis=1)
        gain_UL = np.maximum(np.take_along_axis(net_UA, top_UL, axis=1), 0.0)
        best_U = gain_UL.sum(axis=1)
        broken_U = np.zeros(len(net_UA), bool)
        for scope_A, most in self.caps:
            broken_U |= (scope_A[top_UL] & (gain_UL > 0)).sum(axis=1) > most
        user_u = np.flatnonzero(broken_U)
        step = max(1, CELLS_PER_STEP // max(1, self.most_states))
        for start in range(0, len(user_u), step):
            some_u = user_u[start : start + step]
            best_U[some_u] = self._slot_by_slot(net_UA[some_u])
        return best_U

    @cached_property
    def plan(self) -> list[list[list[tuple[int, int]]]]:
        """Per slot and kind of action (the first: none) the moves (state before, state after)."""
        moves, before = [], {self._seen([most for _, most in self.caps], 0): 0}
        for slot, kinds in enumerate(self.steps):
            after: dict[tuple[int, ...], int] = {}
            of_slot = []
            for caps in [(), *(caps for caps, _ in kinds)]:
                of_kind = []
                for state, position in before.items():
                    left = [have - (c in caps) for c, have in enumerate(state)]
                    if min(left, default=0) >= 0:
                        reached = after.setdefault(self._seen(left, slot + 1), len(after))
                        of_kind.append((position, reached))
                of_slot.append(of_kind)
            moves.append(of_slot)
            before = after
        return moves

    def _seen(self, left: Sequence[int], slot: int) -> tuple[int, ...]:
        """What is left of the caps, as far as the slots from here on could use it up."""
        return tuple(min(have, int(need)) for have, need in zip(left, self.left_LC[slot], strict=True))

    @cached_property
    def most_states(self) -> int:
        return max(len({after for kind in slot for _, after in kind}) for slot in self.plan)

    def _slot_by_slot(self, net_uA: np.ndarray) -> np.ndarray:
        worth_Su = np.zeros((1, len(net_uA)))
        for kinds, moves in zip(self.steps, self.plan, strict=True):
            states = 1 + max(after for kind in moves for _, after in kind)
            next_Su = np.full((states, len(net_uA)), -np.inf)
            gains = [np.zeros(len(net_uA)), *(net_uA[:, actions].max(axis=1) for _, actions in kinds)]
            for gain_u, kind in zip(gains, moves, strict=True):
                for before, after in kind:
                    np.maximum(next_Su[after], worth_Su[before] + gain_u, out=next_Su[after])
            worth_Su = next_Su
        return worth_Su.max(axis=0)
