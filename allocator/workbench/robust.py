"""Whether an answer holds if the scores are less sure than they say, and what each rule costs in all.

Which of two policies is worth more is asked again with every effect taken at mean - z * stderr (a cost at mean + z * stderr), for
several z, and on the scores of another model of the same users, such as last week's. What a rule costs is the value without it less the
value with it, which is more than its price times its bound: the price is of the next unit alone.
"""

from collections.abc import Sequence

from allocator.policy.grammar import Policy, Risk
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import MeanAndError, Robustness, Verdict
from allocator.workbench.session import Session
from allocator.workbench.sums import VALUE
from allocator.workbench.totals import Compared

RISKS = (0.0, 0.5, 1.0)


def robustness(session: Session, base: Policy, new: Policy, other: Session | None = None) -> Robustness:
    """The difference of two policies under several views of the scores. other: the same users scored by another model.

    Policies that ask for a `risk.z` of their own are asked at that one too. Scores without standard errors are asked at z = 0 alone.
    """
    stated = {policy.risk_z for policy in (base, new)}
    risks = sorted({*RISKS, *stated}) if session.scores.stderr_metrics else [0.0]
    found = [
        Verdict(
            view=f"mean - {z:g} standard errors" if z else "means",
            value=_difference(session, _at(base, z), _at(new, z)),
        )
        for z in risks
    ]
    if other is not None:
        found.append(Verdict(view="the other model's scores", value=_difference(other, base, new)))
    winners = {_winner(verdict.value) for verdict in found if verdict.value is not None} - {"neither"}
    changes = len(winners) > 1
    return Robustness(verdicts=tuple(found), winner_changes=changes, sentence=_sentence(found, changes))


def _at(policy: Policy, z: float) -> Policy:
    return policy.model_copy(update={"risk": Risk(z=z)})


def _difference(session: Session, base: Policy, new: Policy) -> MeanAndError | None:
    """None where one of them cannot be kept."""
    session.tell("asking other views of the scores")
    try:
        before = session.price(base)
        return Compared(before, session.price(new, base)).of(VALUE, session.gap)
    except Unsolvable:
        return None


def _winner(value: MeanAndError) -> str:
    if not value.seen:
        return "neither"
    return "new" if value.mean > 0 else "base"


def _sentence(found: Sequence[Verdict], changes: bool) -> str:
    if changes:
        told = "; ".join(f"{_winner(each.value)} by {each.view}" for each in found if each.value is not None)
        return f"Which policy is worth more depends on how far the scores are believed: {told}."
    winners = {_winner(each.value) for each in found if each.value is not None}
    if winners == {"neither"}:
        return "By no view of the scores is either policy seen to be worth more."
    better = next(iter(winners - {"neither"}), "neither")
    unsure = " (where a difference is seen at all)" if "neither" in winners else ""
    return f"By every view of the scores the {better} policy is worth more{unsure}."


def cost_of_rules(session: Session, policy: Policy) -> dict[str, MeanAndError | None]:
    """Of every enforced constraint what it costs in all: the value without it less the value with it; None where that cannot be said."""
    with_it = session.price(policy)
    binding = {
        each.rule.id.split("@")[0] for place, each in enumerate(with_it.problem.measured) if with_it.binding(place)[0]
    }
    found: dict[str, MeanAndError | None] = {}
    for rule in policy.constraints:
        if rule.strength.kind == "report_only":
            continue
        if rule.id not in binding:
            found[rule.id] = MeanAndError(mean=0.0, se=0.0)
            continue
        session.tell(f"without {rule.name}")
        kept = tuple(each for each in policy.constraints if each.id != rule.id)
        try:
            without = session.price(policy.model_copy(update={"constraints": kept}), policy)
        except Unsolvable:
            found[rule.id] = None
            continue
        found[rule.id] = Compared(with_it, without).of(VALUE, session.gap)
    return found
