"""The policy's own rules in words: what was promised, who fell back, what each objective gave up, what one user may get."""

from collections.abc import Iterator, Mapping

from allocator.amounts import exact_percent, part_kept, with_unit
from allocator.formats import ConstraintRecord
from allocator.policy.grammar import ContactRule, EligibilityRule, PinnedRule, Policy
from allocator.policy.words import Filter, filter_words, people
from allocator.report.collect import Report
from allocator.report.sentences import WholeContacts, below_the_best, formula, worth
from ranker.catalogue import Interference, Kept


def pinned_rows(report: Report) -> list[Mapping[str, str]]:
    """Per action that a rule pins: which rules, for whom, and how many contacts came of it."""
    rules = () if report.policy is None else report.policy.pinned
    return [
        {
            "action": total.action,
            "rules": ", ".join(rule.name for rule in rules if rule.action == total.action),
            "whom": _whom([rule for rule in rules if rule.action == total.action]),
            "contacts": f"{total.contacts:,}",
        }
        for total in report.certificate.pinned
    ]


def _whom(rules: list[PinnedRule]) -> str:
    return "; ".join(dict.fromkeys(people(rule.users) for rule in rules))


def fallback(report: Report) -> str:
    """Who fell back, what that is worth, and who is left with nothing all the same."""
    total = report.certificate.fallback
    if total is None:
        return ""
    rule = None if report.policy is None else report.policy.fallback
    offered = "" if rule is None else f" ({people(rule.users)}: {', else '.join(rule.action)})"
    given = f"Nobody got a fallback contact{offered}."
    if total.contacts:
        users, worth_of_all = with_unit(total.contacts, "users"), with_unit(total.value, report.value_unit)
        given = f"{users} to whom nothing else was given got a fallback contact{offered}, worth {worth_of_all} in all."
    if not total.left_without:
        return f"{given} Nobody in its scope is left with nothing."
    left = with_unit(total.left_without, "users")
    return (
        f"{given} {left} in its scope still got nothing: no fallback was eligible for them, or it would have broken a "
        "constraint or one of their own limits."
    )


def tier_rows(report: Report) -> list[str]:
    """A sentence per objective, in their order: what it reached, what it must keep, and what a unit less of it would gain."""
    if not report.certificate.tiers:
        return []
    records = {record.id: record for record in report.certificate.constraints}
    sentences = []
    for tier in report.certificate.tiers:
        record = records.get(tier.id)
        unit = "" if record is None else record.unit or ""
        room = (tier.bound - tier.value) / abs(tier.bound) if tier.bound else 0.0
        sentence = (
            f"{formula(tier.objective)}: alone it reached {with_unit(tier.value, unit)}, {below_the_best(room)}. The objectives after it "
            f"may cost {exact_percent(tier.give_up)} of that, so {with_unit(tier.floor, unit)} must be left"
        )
        sentences.append(sentence + _kept(record, unit, report))
    last = f"{formula(report.certificate.objective)}: maximised within that; it is the value of this page."
    return [*sentences, last]


def _kept(record: ConstraintRecord | None, unit: str, report: Report) -> str:
    if record is None or record.achieved is None:
        return "."
    kept = f"; {with_unit(record.achieved, unit)} are."
    if record.binding is None:
        return f"{kept} Giving up more of it would gain nothing."
    return f"{kept} {worth(record, report.value_unit, WholeContacts.of(report.certificate))}"


def contact_words(rule: ContactRule, known: Interference | None) -> str:
    """What one user may get by a rule. known: what the scores say that contacts take from each other."""
    what = "contacts" if rule.where.is_empty else f"contacts with {filter_words(rule.where)}"
    if rule.requires is not None:
        return _for_whom(rule, f"{what} {_required(rule, rule.requires)}")
    if rule.max == 1:
        what = what.replace("contacts", "contact", 1)
    words = f"no {what}" if rule.max == 0 else f"at most {rule.max} {what}"
    if rule.min is not None and rule.min > 1:
        several = f"{rule.min}" if rule.min == rule.max else f"{rule.min} to {rule.max}"
        words = f"none or {several} {what}"
    if rule.each is not None:
        words += f", for each {rule.each.replace('_', ' ')} on its own"
    if rule.spoils is not None:
        words += f", of each two that leave less than {exact_percent(rule.spoils)} of each other's effect ({_two(rule.spoils, known)})"
    if rule.days is not None:
        days = "day" if rule.days == 1 else f"{rule.days} days"
        words += f"; contacts received in the last {days} count as well"
    return _for_whom(rule, words)


def _for_whom(rule: ContactRule, words: str) -> str:
    return words if rule.users is None else f"{people(rule.users)}: {words}"


def _required(rule: ContactRule, beside: Filter) -> str:
    """only beside product audiobooks, or within 28 days after it"""
    words = f"only beside one with {filter_words(beside)}"
    if rule.days is None:
        return words
    return f"{words}, or after one received in the last {'day' if rule.days == 1 else f'{rule.days} days'}"


def _two(limit: float, known: Interference | None) -> str:
    """Which offers the scores say spoil each other so much."""
    pairs = () if known is None else known.spoiling(limit)
    sides = dict.fromkeys(tuple(sorted({_named(pair.where), _named(pair.beside)})) for pair in pairs)
    return "; ".join(" and ".join(names) if len(names) > 1 else f"{names[0]} twice" for names in sides) or "none do"


def interference_rows(known: Interference | None) -> list[str]:
    """What the scores say that contacts take from each other, a sentence each."""
    if known is None:
        return []
    said = []
    if known.fatigue is not None:
        said.append(f"Each contact of the {known.days} days before leaves {_left(known.fatigue)} of an effect.")
    for pair in known.pairs:
        beside = {"history": f"an offer in the {known.days} days before", "same week": "an offer in the same week"}[
            pair.basis
        ]
        said.append(
            f"Beside {_named(pair.beside)}, {_named(pair.where)} keeps {_left(pair.effect)} of its effect (seen after {beside})."
        )
    return said


def _left(kept: Kept) -> str:
    return part_kept(kept.kept, kept.stderr)


def _named(words: Mapping[str, object]) -> str:
    return ", ".join(str(value) for value in words.values())


def never_words(rule: EligibilityRule) -> str:
    """What some users never get."""
    return f"{people(rule.users)} never get {_actions(rule.forbid)}"


def _actions(where: Filter) -> str:
    return "anything" if where.is_empty else filter_words(where)


def experiment(policy: Policy) -> str:
    """Who gets nothing, and who gets something random."""
    return " ".join(_experiment(policy))


def _experiment(policy: Policy) -> Iterator[str]:
    if policy.holdout is not None and policy.holdout.share:
        yield f"{exact_percent(policy.holdout.share)} of all users get nothing, to compare with."
    if policy.exploration is not None and policy.exploration.share:
        yield f"{exact_percent(policy.exploration.share)} get one random contact or nothing, for the next model to learn from."
