"""What a changed policy does, next to the policy that it was made from: on a sample within a second, or of all users.

Axes: U users of the sample, S user classes, A actions.
"""

import time
from collections.abc import Sequence

import numpy as np

from allocator.certify.certificate import objective_terms, value_unit
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.differences import Edit, differences, with_edits
from allocator.policy.grammar import Policy
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import DifferenceAnswer, EditAnswer, WhatIf
from allocator.workbench.attribution import Chosen, shapley
from allocator.workbench.in_full import FullPolicy, compared_in_full, solved_in_full, users_moved
from allocator.workbench.sentences import headline, why
from allocator.workbench.session import Session
from allocator.workbench.sums import VALUE
from allocator.workbench.totals import Compared, moved, policy_answer

MOST_IN_FULL = 2
"""Edits whose choices are all solved for all users; with more, a sample says how they share the difference."""


def what_if(session: Session, base: Policy, new: Policy, full: bool = False) -> WhatIf:
    """Compares two active policies.

    Args:
        session: the users, and what is told of the progress.
        base, new: as `Session.read` gives them.
        full: from an allocation of all users under either policy, instead of from the sample.

    Returns:
        The difference in all totals, by edit, by product, surface and segment, with its errors; and why what changes nothing does not.

    Raises:
        Infeasible: one of the policies contradicts itself; carries the diagnosis.
        InputError: the scores cannot carry a policy.
    """
    started = time.perf_counter()
    edits = differences(base, new)
    if full:
        return _in_full(session, base, new, edits, started)
    try:
        before, after = session.price(base), session.price(new, base)
    except Unsolvable:
        return _in_full(session, base, new, edits, started)  # whether they can be kept is for all users to say
    compared = Compared(before, after)
    difference = compared.answer(session.gap)
    shares = _shares(session, base, edits, difference)
    return _answer(
        session, started, full=False,
        base=policy_answer(before, session.gap), new=policy_answer(after, session.gap), difference=difference,
        edits=shares, why=why(session, base, new, edits, shares, compared),
        matrix=compared.cells(), policy=new,
    )  # fmt: skip


def _answer(session: Session, started: float, *, policy: Policy, **found: object) -> WhatIf:
    catalogue = session.scores.catalogue
    unit = value_unit(objective_terms(policy.objective), catalogue)
    difference: DifferenceAnswer = found["difference"]  # type: ignore[assignment]  # as `what_if` passes it
    return WhatIf(
        users=session.scores.users,
        sample=session.scores.users if found["full"] else len(session.sample),
        seconds=time.perf_counter() - started,
        as_of=None if catalogue.as_of is None else catalogue.as_of.isoformat(),
        unit=unit,
        headline=headline(difference, unit),
        **found,
    )


def _in_full(session: Session, base: Policy, new: Policy, edits: Sequence[Edit], started: float) -> WhatIf:
    before, after = solved_in_full(session, base), solved_in_full(session, new)
    difference, cells = compared_in_full(session.scores, before, after)
    return _answer(
        session, started, full=True, base=before.answer(), new=after.answer(), difference=difference,
        edits=_shares_in_full(session, base, edits, difference, {(): before, tuple(range(len(edits))): after}),
        why=(), matrix=cells, policy=new,
    )  # fmt: skip


def _shares(
    session: Session, base: Policy, edits: Sequence[Edit], difference: DifferenceAnswer
) -> tuple[EditAnswer, ...]:
    """What each edit does, on the sample."""
    start = session.price(base)

    def amount_of(chosen: Chosen) -> np.ndarray | None:
        """Value, users moved, and each user's residual of the value; None where these edits contradict each other."""
        try:
            found = start if not chosen else session.price(with_edits(base, [edits[edit] for edit in chosen]), base)
        except Unsolvable:
            return None
        count = float(found.sample.weight_U @ moved(start, found))
        return np.concatenate([[found.sums.total(VALUE), count], found.sums.residual(VALUE)])

    changed = shapley(len(edits), amount_of) if edits else []
    if changed is None:
        return _as_one(edits, difference)
    return tuple(
        _edit(edit, float(amount[0]), session.sample.stderr_of_sums(amount[2:, None])[0], float(amount[1]))
        for edit, amount in zip(edits, changed, strict=True)
    )


def _edit(edit: Edit, value: float, error: float, users: float) -> EditAnswer:
    words = {"from": edit.before, "to": edit.after}
    return EditAnswer(path=edit.path, sentence=edit.sentence, value=value, value_se=error, users_moved=users, **words)


def _as_one(edits: Sequence[Edit], difference: DifferenceAnswer) -> tuple[EditAnswer, ...]:
    """Edits that hold only all together: the first is said to do everything."""
    value, users = difference.value, difference.users_moved.mean
    first = _edit(edits[0], value.mean, value.se, users)
    return (first, *(_edit(edit, 0.0, 0.0, 0.0) for edit in edits[1:]))


def _shares_in_full(
    session: Session,
    base: Policy,
    edits: Sequence[Edit],
    difference: DifferenceAnswer,
    known: dict[Chosen, FullPolicy],
) -> tuple[EditAnswer, ...]:
    """What each edit does: by allocations for few, otherwise as on the sample, with what that lacks shared out evenly."""
    if len(edits) > MOST_IN_FULL:
        return _scaled(_shares(session, base, edits, difference), difference)

    def amount_of(chosen: Chosen) -> np.ndarray | None:
        try:
            found = known.get(chosen) or solved_in_full(session, with_edits(base, [edits[edit] for edit in chosen]))
        except Infeasible:
            return None
        return np.array([found.made.certificate.value, float(users_moved(known[()], found))])

    changed = shapley(len(edits), amount_of) if edits else []
    if changed is None:
        return _as_one(edits, difference)
    return tuple(
        _edit(edit, float(value), 0.0, float(users)) for edit, (value, users) in zip(edits, changed, strict=True)
    )


def _scaled(found: tuple[EditAnswer, ...], difference: DifferenceAnswer) -> tuple[EditAnswer, ...]:
    value = (difference.value.mean - sum(each.value for each in found)) / len(found)
    users = (difference.users_moved.mean - sum(each.users_moved for each in found)) / len(found)
    return tuple(
        each.model_copy(update={"value": each.value + value, "users_moved": each.users_moved + users}) for each in found
    )
