"""What stands behind a conflict besides constraints: eligibility, contact rules, holdout and exploration, by the rule's id.

Each constraint of the conflict is counted again with one rule taken away at a time; a rule without which users could get more contacts
in the constraint's scope is a cause. Shares its counting with `preflight`.

Axes: U users, A actions, P planes, C contact caps, S user classes, R rows, K contacts of a slate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from allocator.formats import Cause
from allocator.infeasible.counting import Reach, Scope, given_in_words, most_contacts, reach
from allocator.policy.grammar import ContactRule
from allocator.policy.kinds.base import ReachedUsers
from allocator.problem import Problem
from allocator.solve.dual import evaluate_dual
from allocator.solve.solver import free_users
from allocator.users import FREE, HOLDOUT, Data, UserActions
from ranker.scores import Scores, Shard


@dataclass(frozen=True)
class _Counted:
    """One constraint's scope, what can be had in it, and whether more would help (it has a floor).

    now: by counting, which is at most too much; best: by everybody's best slate, where contacts ask for others, else the same.
    by_users: it counts users, so that one contact of each is all that matters.
    """

    name: str
    id: str
    scope: Scope
    now: Reach
    best: Reach
    floor: bool
    by_users: bool


def find_causes(
    problem: Problem,
    data: Data,
    fixed: UserActions,
    positions: Sequence[int],
    scores: Scores | None = None,
) -> tuple[Cause, ...]:
    """For each constraint how many users are eligible, and which rules limit it. scores: to count without eligibility rules.

    A limit on churn is not about contacts in scope; what stands behind it is a finding of counting.
    """
    positions = [position for position in positions if not problem.measured[position].numerator.kept]
    scopes = [_scope(problem, position) for position in positions]
    counted = []
    for position, scope, now in zip(positions, scopes, reach(problem, data, scopes), strict=True):
        sides = problem.rows.sign_R[problem.rows.constraint_R == position]
        rule = problem.measured[position].rule
        best = _by_slates(problem, data, scope) if len(problem.contact.asks) else now
        by_users = isinstance(rule.numerator, ReachedUsers)
        counted.append(_Counted(rule.name, rule.id, scope, now, best, bool((sides < 0).any()), by_users))
    causes = [_reach_of(each) for each in counted]
    causes += _exploration(problem, data, fixed, positions)
    floors = [each for each in counted if each.floor]
    if floors:
        causes += _capped(problem, data, floors)
        causes += [] if scores is None else _filtered(problem, data, floors, scores)
    return tuple(causes)


def _scope(problem: Problem, position: int) -> Scope:
    """The contacts that the constraint counts, one each."""
    linear = problem.measured[position].numerator
    actions_A = linear.actions_A
    return Scope(
        linear.member_S,
        actions_A.astype(float),
        np.zeros_like(linear.plane_PA),
        most_contacts(problem.contact, actions_A),
    )


def _reach_of(each: _Counted) -> Cause:
    users, contacts = each.now.users, each.best.contacts
    sentence = f"{each.name}: {users:,} users are eligible for its scope and can get {contacts:,} contacts there"
    if each.by_users:
        sentence = f"{each.name}: {each.best.users:,} users can be reached in its scope"
    return Cause(
        constraint=each.id, kind="reach", rule=None, users=users, contacts=contacts, without=None, sentence=sentence
    )


def _by_slates(problem: Problem, data: Data, scope: Scope) -> Reach:
    """The most contacts that slates of the users in scope can hold there, all contact rules kept."""
    value_A = scope.actions_A.astype(float)
    counting = replace(problem.worthless(), value_A=value_A).with_measured([])
    group_U = np.where(scope.member_S[data.class_U], data.group_U, HOLDOUT).astype(np.int8)
    nobody = np.empty(0, np.int64)
    users = free_users(counting, replace(data, group_U=group_U, before_UK=data.before_UK[:, :0]), (nobody, nobody))
    evaluated = evaluate_dual(users, np.empty(0))
    inside_U = ((evaluated.slate_UK >= 0) & scope.actions_A[evaluated.slate_UK]).any(axis=1)
    return Reach(evaluated.dual, round(evaluated.dual), int(inside_U.sum()))


def _exploration(problem: Problem, data: Data, fixed: UserActions, positions: Sequence[int]) -> Iterator[Cause]:
    """Bounds that the exploration contacts break before anything is decided."""
    rows, left_R = problem.rows, free_users(problem, data, fixed).limit_R
    for position in positions:
        broken = [
            r for r in np.flatnonzero(rows.constraint_R == position) if left_R[r] < -1e-9 and rows.limit_R[r] >= 0
        ]
        if broken:
            rule = problem.measured[position].rule
            sentence = f"{rule.name}: {given_in_words(data, fixed)} already break it"
            users = len(np.unique(fixed[0]))
            yield Cause(
                constraint=rule.id,
                kind="exploration",
                rule=None,
                users=users,
                contacts=len(fixed[0]),
                without=None,
                sentence=sentence,
            )


def _capped(problem: Problem, data: Data, floors: Sequence[_Counted]) -> Iterator[Cause]:
    """Caps without which users could get more contacts in scope."""
    for rule in problem.policy.contact:
        if rule.id not in problem.contact.names:
            continue
        freed = problem.contact.without(rule.id)
        eased = replace(problem, contact=freed)
        kept_C = np.array([name != rule.id for name in problem.contact.names], bool)
        counted = data.received_UC[:, kept_C] if data.received_UC.shape[1] else data.received_UC
        scopes = [replace(each.scope, most=most_contacts(freed, each.scope.actions_A)) for each in floors]
        if len(problem.contact.asks):
            found = [_by_slates(eased, replace(data, received_UC=counted), scope) for scope in scopes]
        else:
            found = reach(eased, data, scopes)
        for each, more in zip(floors, found, strict=True):
            if _is_more(each, more, each.best):
                yield _cause(each, each.best, "contact", rule.id, f"contact rule {rule.id} ({_limit(rule)})", more)


def _limit(rule: ContactRule) -> str:
    """What the rule lets a user have."""
    if rule.requires is not None:
        return "only beside what it requires" if rule.days is None else "only beside or after what it requires"
    return f"at most {rule.max} a user" if rule.min is None else f"none or {rule.min} to {rule.max} a user"


def _filtered(problem: Problem, data: Data, counted: Sequence[_Counted], scores: Scores) -> Iterator[Cause]:
    """Eligibility and the holdout: the users are read once more, and each rule is left out in turn."""
    variants = dict(_variants(problem))
    contacts = {name: np.zeros(len(counted), np.int64) for name in variants}
    users = {name: np.zeros(len(counted), np.int64) for name in variants}
    for shard in scores.shards(check=False, planes=()):
        part = _part(data, shard)
        full_UA = problem.contact.full(part.received_UC, part.class_U)
        for name, (allowed_SA, group) in variants.items():
            eligible_UA = np.ones_like(shard.eligible_UA) if name == ("scores", None) else shard.eligible_UA
            group_U = np.where(part.group_U == group, FREE, part.group_U).astype(np.int8)
            eligible_UA = eligible_UA & allowed_SA[part.class_U]
            if name != ("history", None):
                eligible_UA &= ~full_UA
            changed = replace(part, eligible_UA=eligible_UA, group_U=group_U)
            found = reach(problem, changed, [each.scope for each in counted])
            contacts[name] += [each.contacts for each in found]
            users[name] += [each.users for each in found]
    for (kind, rule), words in _worded(variants):
        for i, each in enumerate(counted):
            more = Reach(0.0, int(contacts[kind, rule][i]), int(users[kind, rule][i]))
            if _is_more(each, more, each.now):
                yield _cause(each, each.now, kind, rule, words, more)


def _worded(variants: Mapping) -> Iterator[tuple[tuple[str, str | None], str]]:
    words = {
        "scores": "what the scores call not eligible",
        "history": "the contacts that users have received before",
        "holdout": "the holdout, which gets nothing",
    }
    for kind, rule in variants:
        yield (
            (kind, rule),
            words.get(kind, f"eligibility rule {rule}" if kind == "eligibility" else f"contact rule {rule}"),
        )


def _variants(problem: Problem) -> Iterator[tuple[tuple[str, str | None], tuple[np.ndarray, int]]]:
    """What is allowed per class and action when one rule is gone, and the group that is free besides the free users."""
    everything_SA = problem.allowed_SA & problem.contact.allowed_A
    yield ("scores", None), (everything_SA, FREE)
    if problem.contact.days_C.any():
        yield ("history", None), (everything_SA, FREE)
    if problem.policy.holdout is not None:
        yield ("holdout", None), (everything_SA, HOLDOUT)
    forbidden = forbidden_by_rule(problem)
    for name in forbidden:
        others = [other for key, other in forbidden.items() if key != name]
        yield name, (~np.logical_or.reduce(others) if others else np.ones_like(everything_SA), FREE)


def forbidden_by_rule(problem: Problem) -> dict[tuple[str, str], np.ndarray]:
    """bool[S, A] of each eligibility rule, and contact rule of zero, by kind and id: what it takes from each class of users."""
    actions, records = problem.catalogue.actions, problem.classes.records
    forbidden = {}
    for rule in problem.policy.eligibility:
        users_S = np.array([rule.users.matches(record) for record in records], bool)
        forbidden["eligibility", rule.id] = np.outer(users_S, [rule.forbid.matches(action) for action in actions])
    for cap in problem.policy.contact:
        if cap.max == 0:
            inside = [cap.where.matches(a) and (cap.each is None or a.get(cap.each) is not None) for a in actions]
            bound_S = np.array([cap.listeners.matches(record) for record in records], bool)
            forbidden["contact", cap.id] = np.outer(bound_S, inside)
    return forbidden


def _part(data: Data, shard: Shard) -> Data:
    """The loaded users of one shard of the scores, without their metrics, which counting contacts needs not."""
    part = slice(shard.start, shard.start + len(shard))
    none = np.empty((len(shard), 0, shard.eligible_UA.shape[1]), np.float32)
    return replace(
        data, user_id=data.user_id[part], planes_UPA=none, eligible_UA=shard.eligible_UA, class_U=data.class_U[part],
        group_U=data.group_U[part], before_UK=data.before_UK[part], received_UC=data.received_UC[part],
    )  # fmt: skip


def _is_more(each: _Counted, more: Reach, now: Reach) -> bool:
    """Whether that helps: more users where these are counted, more contacts otherwise."""
    return more.users > now.users if each.by_users else more.contacts > now.contacts


def _cause(each: _Counted, now: Reach, kind: str, rule: str | None, words: str, more: Reach) -> Cause:
    can = f"{each.name}: without {words}, {more.users:,} users could get {more.contacts:,} contacts in its scope"
    sentence = f"{can} instead of {now.users:,} users {now.contacts:,}"
    if each.by_users:
        can = f"{each.name}: without {words}, {more.users:,} users could be reached in its scope"
        sentence = f"{can} instead of {now.users:,}"
    return Cause(
        constraint=each.id,
        kind=kind,
        rule=rule,
        users=now.users,
        contacts=now.contacts,
        without=more.contacts,
        sentence=sentence,
    )
