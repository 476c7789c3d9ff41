"""Answers in sentences: what changed and how surely, why an edit changed nothing, and why a budget is not spent.

Axes: A actions, P planes, S user classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from allocator.amounts import exact, number, percent, with_unit
from allocator.constraints import CompiledConstraint
from allocator.policy.differences import Edit
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import DifferenceAnswer, EditAnswer, MeanAndError
from allocator.workbench.measures import Scope, scope_of
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.reasons import SLOT, Whereabouts, whereabouts
from allocator.workbench.session import Session
from allocator.workbench.totals import Compared
from allocator.workbench.wider import with_bound

WIDER = 3.0
"""Times as wide: the bound that is tried beside one that changes nothing."""
UNSPENT = 0.01
"""Of a budget: what may be left before anybody asks why."""
FEW = 0.005
"""Of the listeners asked about: causes of fewer are not told."""
MOST_CAUSES = 4
NOT_SETTLED = "Many listeners tie, so prices on the sample did not settle; ask in full before you rely on this."
NO_FALLBACKS = "Fallback contacts are left out of answers from a sample; an answer in full counts them."


def headline(difference: DifferenceAnswer, unit: str) -> str:
    """The difference in one sentence, which claims no effect that the errors do not show."""
    value, moved = difference.value, difference.users_moved
    listeners = f"{_about(moved)} listeners get other contacts"
    if not value.seen:
        if moved.mean == 0:
            return "Nothing changes: no listener gets other contacts."
        return f"No effect on value is seen ({signed(value, unit)}); {listeners}."
    more = "more" if value.mean > 0 else "less"
    return (
        f"By the scores' estimates it is worth {with_unit(abs(value.mean), unit)}{_error(value)} {more}; {listeners}."
    )


def _about(estimate: MeanAndError) -> str:
    return f"{'about ' if estimate.se else ''}{round(estimate.mean):,}"


def _error(estimate: MeanAndError) -> str:
    return f" (± {number(1.959964 * estimate.se)} at 95 %)" if estimate.se else ""


def signed(estimate: MeanAndError, unit: str) -> str:
    """'+12 EUR (± 3 at 95 %)'."""
    sign = "+" if estimate.mean > 0 else "\u2212" if estimate.mean < 0 else ""
    return f"{sign}{with_unit(abs(estimate.mean), unit)}{_error(estimate)}"


def why(
    session: Session, base: Policy, new: Policy, edits: Sequence[Edit], shares: Sequence[EditAnswer], compared: Compared
) -> tuple[str, ...]:
    """Why edits that change nothing do not, and why budgets are not spent."""
    idle = [edit for edit, share in zip(edits, shares, strict=True) if _is_idle(share, compared)]
    told = [sentence for edit in idle for sentence in _idle(session, base, edit, compared.new)]
    left_out = [NO_FALLBACKS] if base.fallback is not None or new.fallback is not None else []
    if not (compared.base.settled and compared.new.settled):
        left_out.append(NOT_SETTLED)
    return (*told, *(_unspent(compared.new, place) for place in _budgets(compared.new)), *left_out)


def _is_idle(share: EditAnswer, compared: Compared) -> bool:
    estimate = MeanAndError(mean=share.value, se=share.value_se)
    few = 1e-3 * compared.new.problem.users
    return not estimate.seen and abs(share.users_moved) <= few


@dataclass(frozen=True)
class _BoundEdit:
    """An edit of a bound of the constraint at this place."""

    place: int
    side: Side

    @classmethod
    def of(cls, edit: Edit, found: SampledPolicy) -> "_BoundEdit | None":
        for side in ("min", "max"):
            for place, each in enumerate(found.problem.measured):
                if edit.path == f"{each.rule.id}.{side}":
                    return cls(place, side)
        return None


def _idle(session: Session, base: Policy, edit: Edit, found: SampledPolicy) -> Iterator[str]:
    bound = _BoundEdit.of(edit, found)
    if bound is None:
        yield f"{_ended(edit.sentence)} It changes nothing: no listener's best contacts depend on it."
        return
    each = found.problem.measured[bound.place]
    yield f"{_ended(edit.sentence)} It changes nothing: {_stands(found, bound.place)}. {_causes(found, bound.place)}"
    if (wide := _wider(session, base, each, bound.side)) is not None:
        yield wide


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _stands(found: SampledPolicy, place: int) -> str:
    """Where a constraint stands, and whether it binds."""
    each = found.problem.measured[place]
    achieved, _ = found.sums.quotient(place)
    side, _ = found.binding(place)
    words = each.rule.amount(achieved) if achieved is not None else "nothing"
    bounds = " and ".join(
        f"{'at least' if bound == 'min' else 'at most'} {each.rule.amount(each.bound(bound), asked=True)}"
        for bound in reversed(each.sides)
    )
    binds = f"its {side} binds" if side is not None else "so it does not bind"
    return f"{each.rule.name} is at {words} ({bounds} asked for), {binds}"


def _wider(session: Session, base: Policy, each: CompiledConstraint, side: Side) -> str | None:
    """What the bound would do if it were much wider."""
    bound = each.bound(side) * (WIDER if (side == "max") == (each.bound(side) >= 0) else 1 / WIDER)
    words = round(bound) if each.whole else bound
    try:
        start = session.price(base)
        wide = session.price(with_bound(base, each.rule.id, side, words), base)
    except (Unsolvable, ValueError):
        return None
    change = Compared(start, wide).answer(session.gap).value
    shown = each.rule.amount(float(words), asked=True)
    effect = f"value changes by {signed(change, '')}" if change.seen else "no effect on value is seen"
    return f"Even with its {side} at {shown}, three times as wide, {effect}."


def _budgets(found: SampledPolicy) -> Iterator[int]:
    """Totals with a limit that are not spent."""
    for place, each in enumerate(found.problem.measured):
        achieved, _ = found.sums.quotient(place)
        if each.rule.kind != "total" or not each.enforced or each.high is None or achieved is None:
            continue
        if found.binding(place)[0] is None and each.high - achieved > UNSPENT * abs(each.high):
            yield place


def _unspent(found: SampledPolicy, place: int) -> str:
    each = found.problem.measured[place]
    achieved, _ = found.sums.quotient(place)
    spent = (achieved or 0.0) / each.bound("max") if each.bound("max") else 0.0
    return f"{each.rule.name} is not spent ({percent(spent)} of {exact(each.bound('max'))}): {_causes(found, place)}"


def _causes(found: SampledPolicy, place: int) -> str:
    return causes_of(found, scope_of(found.problem.measured[place]))


def causes_of(found: SampledPolicy, scope: Scope) -> str:
    """What keeps contacts in a scope from being more."""
    return in_words(whereabouts(found, *scope), found)


def in_words(known: Whereabouts, found: SampledPolicy) -> str:
    """'Of 9,800 listeners, 3,100 get one; 1,200 may not; ...': the causes that concern most of them."""
    problem = found.problem
    product_A = [str(action.get("product", action["id"])) for action in problem.catalogue.actions]
    causes = {
        "may not (eligibility, or a contact rule that is used up)": known.ineligible,
        "would bring less than nothing": known.worthless,
        "are held out": known.held_out,
        "explore or have a pinned contact": known.explore,
    }
    for place, count in known.priced_out.items():
        text = f"are kept away by {problem.measured[place].rule.name}"
        causes[text] = causes.get(text, 0.0) + count
    for (action, rule), count in known.beaten.items():
        by = "" if rule == SLOT else f" ({rule})"
        text = f"get {product_A[action]} instead{by}" if action >= 0 else "lose it by a hair"
        causes[text] = causes.get(text, 0.0) + count
    told = sorted(((count, text) for text, count in causes.items() if count > FEW * known.users), reverse=True)
    listed = "; ".join(f"{_rounded(count)} {text}" for count, text in told[:MOST_CAUSES])
    rest = f"; {_rounded(sum(count for count, _ in told[MOST_CAUSES:]))} others" if len(told) > MOST_CAUSES else ""
    about = "" if found.sample.whole else "about "
    return f"Of {about}{_rounded(known.users)} listeners {_rounded(known.get)} get one; {listed}{rest}."


def _rounded(count: float) -> str:
    return f"{round(count):,}"
