"""The words of a policy for the editor: what each key is for, and which words may follow it."""

from collections.abc import Mapping

from allocator.policy.checked import Meant, known_words
from allocator.policy.kinds.known import KINDS
from ranker.scores import Scores

KEYS: Mapping[str, str] = {
    "version": "The version of the grammar; 1.",
    "objective": "What a contact is worth: the sum of weight times metric over these terms.",
    "tiers": "Several objectives in order, instead of `objective`.",
    "risk": "How much the uncertainty of estimates takes off the value.",
    "z": "Standard errors taken off each estimate; 0 takes nothing off.",
    "experiment": "Who gets nothing (holdout) and who gets random offers (exploration).",
    "holdout": "A share of listeners who get nothing, to compare with.",
    "exploration": "A share of listeners who get random eligible offers, to learn from.",
    "share": "As a part of all listeners, like 2% or 0.02.",
    "salt": "Any word; another salt draws other people.",
    "eligibility": "Who must never get which offers.",
    "forbid": "The offers that `users` never get.",
    "contact": "What one listener may get in a week.",
    "constraints": "What must hold over all listeners.",
    "pinned": "Contacts that were promised to listeners.",
    "fallback": "What listeners get who would otherwise get nothing.",
    "action": "An offer by its id.",
    "id": "The rule's name for programs; unique.",
    "label": "The rule's name for people.",
    "owner": "Who answers for the rule.",
    "reason": "Why the rule is there.",
    "kind": "What is summed: volume, total, share, average, ratio, change or churn.",
    "where": "The offers that are counted, by their attributes; empty means all.",
    "of": "The offers that a share is a share of.",
    "users": "The listeners who are counted, by their segments; empty means all.",
    "not": "None of these.",
    "min": "At least so much: a number, or per cent of the listeners in `users`.",
    "max": "At most so much: a number, or per cent of the listeners in `users`.",
    "metric": "An outcome of the scores.",
    "times": "A number of the offer that each contact is multiplied by, like discount_eur.",
    "weight": "What one unit of the outcome is worth; negative for harm.",
    "per": "What a ratio divides by.",
    "each": "The rule holds for every value of this attribute or segment on its own.",
    "days": "Contacts of so many days before count as well.",
    "spoils": "Offers that leave less than this part of each other's effect are not sent together.",
    "requires": "Only beside, or after, one of these offers.",
    "certainty": "The bound holds with this probability, like 90%.",
    "strength": "hard (default), {soft: P} with a price per unit missed, or report_only.",
    "soft": "What a unit of violation costs of the value.",
    "valid_from": "The first day on which the rule holds.",
    "valid_to": "The last day on which the rule holds.",
    "give_up": "How much of this objective the later ones may cost, like 1%.",
}
"""Key -> what it is for."""


def editor_words(scores: Scores) -> dict[str, object]:
    """keys: what each is for; values: which words may follow a key; where, users: attributes of offers, segments of listeners."""
    known = known_words(Meant(scores=scores))
    where = {name: [value for value in values if isinstance(value, str)] for name, values in known["where"].items()}
    values = {
        "kind": list(KINDS),
        "metric": list(known["metric"]),
        "times": [name for name, inside in known["where"].items() if not where[name] and inside],
        "each": sorted({*where, *known["users"]}),
        "strength": ["hard", "soft", "report_only"],
        "action": where.get("id", []),
    }
    filters = {name: inside for name, inside in where.items() if inside}
    return {"keys": dict(KEYS), "values": values, "where": filters, "users": dict(known["users"])}
