"""Sentences about constraints: every kind, binding side and strength says what holds, in its unit, and what room is worth."""

import re

import pytest

from allocator import amounts
from allocator.formats import Certificate, ConstraintRecord
from allocator.policy.kinds import known
from allocator.policy.kinds.change import Change
from allocator.policy.kinds.churn import Churn
from allocator.policy.kinds.known import KINDS
from allocator.policy.words import Filter, filter_words
from allocator.report import sentences
from allocator.report.page import bullet, constraint_row, state_of
from allocator.report.records import Difference, PolicyValue
from tests.allocator.reporting import constraint


def record(**changes: object) -> ConstraintRecord:
    return ConstraintRecord.model_validate(constraint(**changes))


def say(**changes: object) -> str:
    return sentences.constraint(record(**changes), "EUR", PARTS)


PARTS = sentences.WholeContacts()
"""Parts of contacts: nothing is lost by whole ones."""
SHARE = {"kind": "share", "unit": "share of contacts", "numerator": 5500.0, "denominator": 10_000.0}
RATIO = {"kind": "ratio", "unit": "EUR per EUR", "numerator": 2500.0, "denominator": 1000.0}
AVERAGE = {"kind": "average", "unit": "opt-outs per contact", "numerator": 20.0, "denominator": 10_000.0}
FREE = {"binding": None, "price": 0.0, "multiplier": 0.0}


def test_a_volume_at_its_limit():
    assert say() == (
        "Push capacity: 400,000 of at most 400,000 contacts used - binding. One more contact would be worth at most about 0.19 EUR; "
        "1 % more room (4,000 contacts) at most about 760 EUR."
    )


def test_a_volume_at_its_floor():
    assert say(min=5000.0, max=None, achieved=5000.0, binding="min", price=0.031) == (
        "Push capacity: 5,000 contacts, at least 5,000 asked for - binding. Lowering the floor by one contact would gain at most "
        "about 0.031 EUR; a floor 1 % lower (50 contacts) at most about 1.55 EUR."
    )


def test_a_volume_with_room_says_that_loosening_changes_nothing():
    assert say(achieved=320_000.0, **FREE) == (
        "Push capacity: 320,000 of at most 400,000 contacts used - not binding: 80,000 contacts left; "
        "loosening it changes nothing."
    )


def test_a_volume_between_two_bounds():
    assert say(min=100.0, max=300.0, achieved=120.0, **FREE) == (
        "Push capacity: 120 contacts, between 100 and 300 allowed - not binding: 20 contacts above the floor, "
        "180 contacts left; loosening it changes nothing."
    )


@pytest.mark.parametrize(("side", "words"), [("min", "binding at the floor"), ("max", "binding at the limit")])
def test_of_two_bounds_the_sentence_names_the_one_that_binds(side, words):
    assert words in say(min=100.0, max=300.0, achieved=100.0 if side == "min" else 300.0, binding=side)


def test_a_total_carries_its_unit():
    assert say(kind="total", unit="EUR", max=250_000.0, achieved=249_998.74, price=0.5) == (
        "Push capacity: 249,999 of at most 250,000 EUR used - binding, with 1.26 EUR to spare. "
        "One more EUR would be worth at most about 0.50 EUR; "
        "1 % more room (2,500 EUR) at most about 1,250 EUR."
    )


def test_a_total_of_people_counts_them_one_by_one():
    said = say(kind="total", unit="subscribers", min=50.0, max=None, achieved=50.0, binding="min", price=3.0)
    assert said.endswith("Lowering the floor by one subscriber would gain at most about 3 EUR.")


def test_a_share_at_its_floor_is_priced_per_percentage_point():
    assert say(label="Plans", min=0.55, max=0.75, achieved=0.55, binding="min", price=182_000.0, **SHARE) == (
        "Plans: 55.00 % of the contacts in scope, between 55 % and 75 % allowed - binding at the floor. "
        "Lowering the floor by one percentage point would gain about 1,820 EUR if the price held that far."
    )


def test_a_share_at_its_limit():
    said = say(max=0.3, achieved=0.3, price=1000.0, **SHARE)
    assert said.endswith(
        "at most 30 % allowed - binding. Raising the limit by one percentage point would gain about 10 EUR if the "
        "price held that far."
    )


def test_a_share_with_room_counts_percentage_points():
    assert "not binding: 5 percentage points left" in say(max=0.6, achieved=0.55, **(SHARE | FREE))


def test_an_average_at_its_limit_is_priced_in_steps_of_its_own_size():
    assert say(max=0.002, achieved=0.002, price=50_000.0, **AVERAGE) == (
        "Push capacity: 0.002 opt-outs per contact, at most 0.002 allowed - binding. "
        "Raising the limit by 0.0001 (to 0.0021) would gain about 5 EUR if the price held that far."
    )


def test_a_ratio_at_its_floor():
    assert say(min=2.5, max=None, achieved=2.5, binding="min", price=21_430.0, **RATIO) == (
        "Push capacity: 2.50 EUR per EUR, at least 2.5 asked for - binding. "
        "Lowering the floor by 0.1 (to 2.4) would gain about 2,143 EUR if the price held that far."
    )


@pytest.mark.parametrize("kind", [SHARE, AVERAGE, RATIO])
def test_a_rate_over_nothing_holds(kind):
    said = say(min=0.5, max=None, **(kind | FREE | {"achieved": None, "denominator": 0.0}))
    assert said == "Push capacity: nothing is allocated in its scope, so it holds."


def test_a_missed_soft_constraint_states_what_it_costs():
    said = say(strength={"soft": 0.05}, max=100_000.0, achieved=112_000.0, price=0.05)
    assert said == (
        "Push capacity: wanted, not required: 112,000 of at most 100,000 contacts used - missed by 12,000 contacts, "
        "which costs 600 EUR of value (0.05 EUR each)."
    )


def test_the_penalty_of_a_soft_rate_counts_in_its_numerator():
    said = say(strength={"soft": 2.0}, min=0.6, max=None, achieved=0.55, binding="min", **SHARE)
    assert "missed by 5 percentage points, which costs 1,000 EUR of value." in said


def test_a_soft_constraint_that_binds_is_priced_as_any_other():
    assert "wanted, not required: 400,000 of at most 400,000" in say(strength={"soft": 9.0})
    assert "One more contact would be worth" in say(strength={"soft": 9.0})


def test_a_watched_constraint_is_never_called_binding_and_has_no_worth():
    said = say(strength="report_only", max=20_000.0, achieved=23_500.0, **FREE)
    assert said == (
        "Push capacity: measured, not enforced: 23,500 of at most 20,000 contacts used - outside its bound by 3,500 contacts."
    )
    inside = say(strength="report_only", max=20_000.0, achieved=19_000.0, **FREE)
    assert inside.endswith("- within its bound: 1,000 contacts left.")


def test_a_broken_hard_constraint_is_loud():
    assert "broken by 1 contact. This allocation must not be published." in say(achieved=400_001.0)


def test_rounding_of_sums_is_not_a_violation():
    assert sentences.violation(record(kind="total", achieved=400_000.0 * (1 + 1e-12))) == 0
    assert sentences.violation(record(kind="total", achieved=400_000.0 * (1 + 1e-6))) > 0


def test_a_bound_of_zero_is_a_bound():
    said = say(max=0.0, achieved=0.0, price=0.4)
    assert said == (
        "Push capacity: 0 of at most 0 contacts used - binding. One more contact would be worth at most about 0.40 EUR."
    )


def test_binding_without_a_price_promises_nothing():
    assert say(price=0.0).endswith("Loosening it alone would gain nothing.")


def test_a_constraint_without_a_label_goes_by_its_id():
    assert say(label=None).startswith("Push capacity: ")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "binding"),
        (FREE | {"achieved": 1.0}, "free"),
        ({"achieved": 500_000.0}, "broken"),
        ({"achieved": 500_000.0, "strength": {"soft": 1.0}}, "missed"),
        ({"achieved": 500_000.0, "strength": "report_only"}, "measured"),
        (SHARE | {"denominator": 0.0, "achieved": None}, "empty"),
    ],
)
def test_states(changes, state):
    assert state_of(record(**changes)) == state


def test_the_bullet_places_achieved_within_its_bounds():
    shown = bullet(record(min=100.0, max=400.0, achieved=200.0))
    assert (shown.low, shown.achieved, shown.high) == (25.0, 50.0, 100.0)
    over = bullet(record(max=100.0, achieved=200.0))
    assert over.high < over.achieved < 100
    assert bullet(record(max=0.0, achieved=0.0)).achieved == 0


def test_binding_constraints_are_named_by_what_room_is_worth():
    cheap, dear = record(id="a", label="Cheap", price=0.01), record(id="b", label="Dear", price=1.0)
    free = record(id="c", label="Free", achieved=1.0, **FREE)
    watched = record(id="d", strength="report_only")
    assert sentences.binding_summary([cheap, free, dear, watched]) == (
        "2 of 3 enforced constraints hold the value back: Dear and Cheap. Loosening any other changes nothing."
    )
    assert sentences.binding_summary([watched]) == "No constraint limits this allocation."
    assert "None of the 1 enforced constraints" in sentences.binding_summary([free])


def test_rows_stand_by_urgency():
    rows = [
        constraint_row(record(**c), "EUR", PARTS)
        for c in ({}, FREE | {"achieved": 1.0}, {"achieved": 9e5}, {"price": 5.0})
    ]
    assert [row.state for row in sorted(rows, key=lambda row: row.rank)] == ["broken", "binding", "binding", "free"]
    assert sorted(rows, key=lambda row: row.rank)[1].record.price == 5.0


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, "nothing left"),
        ({"min": 5.0, "max": None, "achieved": 5.0}, "at the floor"),
        ({"min": 5.0, "max": 9.0, "achieved": 6.0}, "1 contact above the floor, 3 contacts left"),
        ({"achieved": 400_010.0}, "10 contacts over the limit"),
        (AVERAGE | {"max": 0.001, "achieved": 0.001 - 7e-10}, "nothing left"),
        (RATIO | {"min": 2.5, "max": None, "achieved": 2.5 + 1e-7}, "at the floor"),
        (RATIO | {"min": 2.5, "max": None, "achieved": 2.49}, "0.01 EUR per EUR below the floor"),
        ({"min": 5.0, "max": None, "achieved": 1.0}, "4 contacts below the floor"),
    ],
)
def test_what_is_left_in_the_table(changes, left):
    assert constraint_row(record(**changes), "EUR", PARTS).left == left


def certificate(**changes: object) -> Certificate:
    content = {"status": "optimal", "users": 10, "contacts": 4, "value": 1234.4, "bound": 1235.0, "gap": 2.31e-5}
    return Certificate.model_validate(content | {"constraints": [], "seconds": {}, "passes": 1} | changes)


def test_the_headline_never_claims_to_be_nearer_than_proven():
    assert "By the same estimates it is at most 0.0024 % below the best possible" in sentences.optimality(certificate())
    assert "it is the best possible; that is proven of the optimiser" in sentences.optimality(certificate(gap=0.0))
    assert sentences.optimality(certificate(gap=None)) == "How much better another allocation could be was not bounded."
    assert sentences.nearness(certificate(gap=3e-5)) == "at most 0.003 % below the best possible"
    assert sentences.nearness(certificate(gap=0.0)) == "exactly the best possible"
    assert sentences.nearness(certificate(gap=None)) == "with no proven upper limit to compare with"


def test_the_headline_is_an_estimate_with_its_interval():
    """90 % of a normal error lie within 1.644854 standard errors."""
    assert sentences.headline(certificate(value_se=100.0), "EUR") == (
        "By the scores' estimates this allocation adds 1,234 EUR (90 % interval 1,070 to 1,399)."
    )
    assert sentences.headline(certificate(), "EUR").endswith("1,234 EUR; the scores do not say how surely.")


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([{"metric": "revenue", "weight": 1.0}], "with no discount or other cost taken off"),
        (
            [{"metric": "revenue", "weight": 1.0}, {"metric": "subs", "weight": -1.0, "times": "discount_eur"}],
            "discount_eur taken off",
        ),
    ],
)
def test_value_is_defined_once_beside_the_number(terms, words):
    said = sentences.what_value_is(certificate(objective=terms))
    assert "added up over all 4 contacts of the week: what they bring beyond showing nothing" in said
    assert words in said


TOTAL = {
    "kind": "total",
    "unit": "EUR",
    "max": 80.0,
    "achieved": 61.0,
    "numerator": 61.0,
    "binding": None,
    "slack": 19.0,
}


def test_an_amount_is_an_estimate_and_a_count_is_not():
    assert "61 of at most 80 EUR used, an estimate (90 % interval 44.55 to 77.45)" in say(se=10.0, **(TOTAL | FREE))
    assert "estimate" not in say()


def test_a_certainty_is_told_with_its_margin():
    """At 90 % 1.281552 standard errors are left as room: 61 + 12.8 = 73.8."""
    said = say(se=10.0, certainty=0.9, **(TOTAL | FREE))
    assert "an estimate; 73.82 EUR with the margin for 90 % certainty - not binding: 6.18 EUR left" in said
    assert "nothing left" not in said
    assert sentences.violation(record(se=10.0, certainty=0.95, **(TOTAL | FREE | {"achieved": 70.0}))) > 0


def test_against_greedy():
    assert "34.40 EUR (2.9 %) more than" in sentences.against_greedy(certificate(greedy={"value": 1200.0}), "EUR")
    assert "cannot be had" in sentences.against_greedy(certificate(greedy={"value": 1300.0, "feasible": False}), "EUR")
    assert "was not computed" in sentences.against_greedy(certificate(), "EUR")
    assert "would be worth 65.60 EUR" in sentences.against_greedy(certificate(greedy={"value": 1300.0}), "EUR")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.3, "beats"), (-0.3, -0.1, "is worse than"), (-0.1, 0.5, "cannot be told apart from")],
)
def test_the_model_is_praised_only_where_the_interval_allows(low, high, words):
    difference = Difference(value=(low + high) / 2, low=low, high=high)
    value = PolicyValue(
        name="valuenet",
        outcome="objective",
        estimator="DR",
        value=1,
        low=0,
        high=2,
        difference_to_best_fixed=difference,
    )
    assert f"learned policy {words} the best fixed action" in sentences.model_against_best_fixed(value, "EUR")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567.8, "1,234,568"), (0.194, "0.194"), (0.5, "0.50"), (12.345, "12.35"), (-3.0, "-3"), (250.5, "250.5"),
     (0.00057, "0.00057"), (4e-9, "4.00e-09"), (None, "none")],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert amounts.number(value) == text


def test_nearly_all_is_not_all():
    assert amounts.percent(4998 / 5000) == "99.9 %"
    assert amounts.percent(1.0) == "100.0 %"


def test_what_is_left_of_an_effect_is_at_most_all_unless_more_is_sure():
    assert amounts.part_kept(0.58, 0.06) == "58 % (± 6 %)"
    assert amounts.part_kept(1.01, 0.06) == amounts.part_kept(0.999, 0.06) == "all (± 6 %)"
    assert amounts.part_kept(1.3, 0.06) == "130 % (± 6 %)"


def test_values_side_by_side_show_their_difference():
    assert amounts.told_apart([160.21979, 160.21983, 160.22406]) == ["160.21979", "160.21983", "160.22406"]
    assert amounts.told_apart([1000.0, 2000.0]) == ["1,000", "2,000"]
    assert amounts.told_apart([5.0, 5.0]) == ["5", "5"]


def test_percentages_at_most_are_rounded_up():
    assert amounts.percent_at_most(0.0000231) == "0.0024 %"
    assert amounts.percent_at_most(0.00003) == "0.003 %"
    assert amounts.percent_at_most(0.5) == "50 %"
    assert amounts.percent_at_most(0.1234) == "13 %"
    assert amounts.percent_at_most(-1e-9) == "0 %"


KINDS_AT_A_BOUND = {
    ("volume", "max"): {"kind": "volume", "max": 4000.0},
    ("volume", "min"): {"kind": "volume", "min": 4000.0},
    ("reach", "max"): {"kind": "reach", "unit": "users", "max": 4000.0},
    ("reach", "min"): {"kind": "reach", "unit": "users", "min": 4000.0},
    ("total", "max"): {"kind": "total", "unit": "EUR", "max": 80.0},
    ("total", "min"): {"kind": "total", "unit": "EUR", "min": 80.0},
    ("share", "max"): {"kind": "share", "unit": "share of contacts", "max": 0.75, "denominator": 1000.0},
    ("share", "min"): {"kind": "share", "unit": "share of contacts", "min": 0.25, "denominator": 1000.0},
    ("average", "max"): {"kind": "average", "unit": "opt-outs per contact", "max": 0.002, "denominator": 1000.0},
    ("average", "min"): {"kind": "average", "unit": "EUR per contact", "min": 0.04, "denominator": 1000.0},
    ("ratio", "max"): {"kind": "ratio", "unit": "EUR per EUR", "max": 2.5, "denominator": 1000.0},
    ("ratio", "min"): {"kind": "ratio", "unit": "EUR per EUR", "min": 2.5, "denominator": 1000.0},
    ("change", "max"): {"kind": "change", "max": 172.0, "min": 142.0},
    ("change", "min"): {"kind": "change", "max": 172.0, "min": 142.0},
    ("churn", "max"): {"kind": "churn", "unit": "users", "max": 6000.0},
    ("tier", "min"): {"kind": "tier", "unit": "subscribers", "min": 200.0},
}
"""Of every kind, a binding record at each side that it can have."""
HELD = {
    ("volume", "max"): (
        4180.0,
        "One more contact would be worth about 2 EUR; 1 % more room (40 contacts) at most about 80 EUR. "
        "Each is worth that at least up to 4,180 contacts; beyond that, it may be less.",
    ),
    ("volume", "min"): (
        3999.0,
        "Lowering the floor by one contact would gain about 2 EUR; a floor 1 % lower (40 contacts) at most about 80 EUR. "
        "Each is worth that at least down to 3,999 contacts; below that, it may be less.",
    ),
    ("reach", "max"): (
        4050.0,
        "Letting one more user be reached would be worth about 2 EUR; 1 % more room (40 users) at most about 80 EUR. "
        "Each is worth that at least up to 4,050 users; beyond that, it may be less.",
    ),
    ("reach", "min"): (
        3999.0,
        "Having to reach one user fewer would gain about 2 EUR; a floor 1 % lower (40 users) at most about 80 EUR. "
        "Each is worth that at least down to 3,999 users; below that, it may be less.",
    ),
    ("total", "max"): (
        80.4,
        "0.2 EUR more would be worth about 0.40 EUR. "
        "Each such step is worth that at least up to 80.4 EUR; beyond that, it may be less.",
    ),
    ("total", "min"): (
        78.77,
        "Lowering the floor by one EUR would gain about 2 EUR. "
        "Each is worth that at least down to 78.8 EUR; below that, it may be less.",
    ),
    ("share", "max"): (
        0.75025,
        "Raising the limit by 0.02 percentage points (to 75.02 %) would gain about 0.0004 EUR. "
        "Each such step is worth that at least up to 75.025 % of the contacts in scope; beyond that, it may differ.",
    ),
    ("share", "min"): (
        0.2,
        "Lowering the floor by one percentage point would gain about 0.02 EUR. "
        "Each such step is worth that at least down to 20 % of the contacts in scope; below that, it may differ.",
    ),
    ("average", "max"): (
        0.00204,
        "Raising the limit by 0.00002 (to 0.00202) would gain about 0.00004 EUR. "
        "Each such step is worth that at least up to 0.00204 opt-outs per contact; beyond that, it may differ.",
    ),
    ("average", "min"): (
        0.03,
        "Lowering the floor by 0.001 (to 0.039) would gain about 0.002 EUR. "
        "Each such step is worth that at least down to 0.03 EUR per contact; below that, it may differ.",
    ),
    ("ratio", "max"): (
        2.75,
        "Raising the limit by 0.1 (to 2.6) would gain about 0.20 EUR. "
        "Each such step is worth that at least up to 2.75 EUR per EUR; beyond that, it may differ.",
    ),
    ("ratio", "min"): (
        2.46,
        "Lowering the floor by 0.02 (to 2.48) would gain about 0.04 EUR. "
        "Each such step is worth that at least down to 2.46 EUR per EUR; below that, it may differ.",
    ),
    ("change", "max"): (
        180.0,
        "One more contact would be worth about 2 EUR; 1 % more room (1.72 contacts) at most about 3.44 EUR. "
        "Each is worth that at least up to 180 contacts; beyond that, it may be less.",
    ),
    ("change", "min"): (
        130.0,
        "Lowering the floor by one contact would gain about 2 EUR; a floor 1 % lower (1.42 contacts) at most about 2.84 EUR. "
        "Each is worth that at least down to 130 contacts; below that, it may be less.",
    ),
    ("churn", "max"): (
        6050.0,
        "Letting one more user change would be worth about 2 EUR; 1 % more room (60 users) at most about 120 EUR. "
        "Each is worth that at least up to 6,050 users; beyond that, it may be less.",
    ),
    ("tier", "min"): (
        199.3,
        "Giving up another 0.5 subscribers of it would gain about 1 EUR. "
        "That rate holds at least down to 199.3 subscribers; below that, it may be less.",
    ),
}
"""The bound up to which the price was seen to hold, and what is then said of the room."""


def at_its_bound(kind: str, side: str, reach: float | None, price: float = 2.0) -> ConstraintRecord:
    """A record of this kind that is met exactly; its price was seen to hold from there to `reach`."""
    sides = {"min": None, "max": None} | KINDS_AT_A_BOUND[kind, side]
    at = sides[side]
    held = None if reach is None else (min(at, reach), max(at, reach))
    found = {"binding": side, "achieved": at, "price": price, "multiplier": price, "price_range": held}
    return record(**(sides | found))


def test_there_is_a_binding_record_of_every_kind():
    assert {kind for kind, _ in KINDS_AT_A_BOUND} == {*KINDS, "tier"}
    assert KINDS_AT_A_BOUND.keys() == HELD.keys()


@pytest.mark.parametrize(("kind", "side"), HELD)
def test_every_kind_says_what_a_step_is_worth_and_how_far_that_was_seen(kind, side):
    reach, said = HELD[kind, side]
    assert sentences.constraint(at_its_bound(kind, side, reach), "EUR", PARTS).endswith(f". {said}")


@pytest.mark.parametrize(
    "room", [None, 0.0, 1e-9, 1e-5, 0.0003, 0.004, 0.03, 0.5, 0.999, 1.0, 1.001, 7.3, 60.0, 2000.0]
)
@pytest.mark.parametrize(("kind", "side"), HELD)
def test_no_step_is_promised_beyond_what_was_seen(kind, side, room):
    """Without `at most` or `if`, the whole step lies in the price's range; and the words name no bound beyond its end."""
    at = KINDS_AT_A_BOUND[kind, side][side]
    reach = None if room is None else at - room if side == "min" else at + room
    held = at_its_bound(kind, side, reach)
    size, opening = known.kind_named(kind).step(sentences.level(held), side)
    said = sentences.constraint(held, "EUR", PARTS)
    promise = said[said.index(opening) + len(opening) :].split(";")[0]
    certain = promise.startswith(" about") and " if " not in promise
    assert certain == (room is not None and size <= room * (1 + 1e-9))
    if kind in ("volume", "reach", "total", "change", "churn", "tier"):
        assert " if " not in promise
    if told := re.search(r"at least (?:up|down) to ([\d,.]+\d) ?(%?)", said):
        named = float(told[1].replace(",", "")) / (100 if told[2] else 1)
        assert min(at, reach) - 1e-12 <= named <= max(at, reach) + 1e-12
        assert abs(named - at) >= 0.89 * room and certain


@pytest.mark.parametrize(
    ("kind", "reach", "price", "lost", "each", "said"),
    [
        ("volume", 4011.0, 0.0101, 0.0021, 0.23,
         "5 contacts more would be worth about 0.0505 EUR; 1 % more room (40 contacts) at most about 0.406 EUR. "
         "Each such step is worth that at least up to 4,011 contacts; beyond that, it may be less."),
        ("volume", 4002.0, 0.0101, 0.0021, 0.23,
         "One more contact would be worth at most about 0.0122 EUR; 1 % more room (40 contacts) at most about 0.406 EUR."),
        ("total", 92.0, 0.5, 0.0, 4.0,
         "10 EUR more would be worth about 5 EUR. "
         "Each such step is worth that at least up to 92 EUR; beyond that, it may be less."),
        ("total", 82.0, 0.5, 0.01, 4.0, "One more EUR would be worth at most about 0.51 EUR."),
        ("share", 0.76, 4.0, 0.002, 0.23, "Raising the limit by one percentage point would gain at most about 0.042 EUR."),
        ("share", 0.9, 4.0, 0.002, 0.23,
         "Raising the limit by 10 percentage points (to 85 %) would gain about 0.40 EUR. "
         "Each such step is worth that at least up to 90 % of the contacts in scope; beyond that, it may differ."),
        ("share", 0.75025, 4.0, 0.0, 0.01,
         "Raising the limit by one percentage point would gain about 0.04 EUR if the price held that far."),
        ("ratio", None, 4.0, 0.01, 2.0,
         "Raising the limit by 0.1 (to 2.6) would gain at most about 0.41 EUR if the price held that far."),
        ("ratio", None, 4.0, 0.01, 0.1, "Raising the limit by 0.1 (to 2.6) would gain about 0.40 EUR if the price held that far."),
        ("churn", 6050.0, 0.01, 0.01, 0.2,
         "Letting 10 more users change would be worth about 0.10 EUR; 1 % more room (60 users) at most about 0.61 EUR. "
         "Each such step is worth that at least up to 6,050 users; beyond that, it may be less."),
    ],
)  # fmt: skip
def test_a_step_is_promised_where_whole_contacts_can_take_it(kind, reach, price, lost, each, said):
    """Ten times what whole contacts lose, and room for one contact where contacts are not what is counted; or `at most`."""
    whole = sentences.WholeContacts(lost, each)
    assert sentences.constraint(at_its_bound(kind, "max", reach, price), "EUR", whole).endswith(f". {said}")


def test_what_whole_contacts_lose_is_the_way_to_the_limit_by_prices():
    priced = certificate(value=100.0, bound=100.5, price_bound=101.0, bound_by="whole contacts", contacts=50)
    assert sentences.WholeContacts.of(priced) == sentences.WholeContacts(1.0, 2.0)
    assert sentences.WholeContacts.of(certificate(value=100.0, bound=100.5)).lost == 0.5
    assert sentences.WholeContacts.of(certificate(value=0.0, bound=None, contacts=0)) == sentences.WholeContacts(
        0.0, 0.0
    )


def test_a_share_steps_over_neither_end():
    low = at_its_bound("share", "min", 0.0).model_copy(update={"min": 0.004, "achieved": 0.004})
    assert "Lowering the floor by 0.2 percentage points (to 0.2 %) would gain" in sentences.constraint(
        low, "EUR", PARTS
    )
    high = at_its_bound("share", "max", 1.0).model_copy(update={"max": 0.997, "achieved": 0.997})
    assert "Raising the limit by 0.2 percentage points (to 99.9 %) would gain" in sentences.constraint(
        high, "EUR", PARTS
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"achieved": 587.0, "min": 586.0, "max": None, "binding": "min"}, "binding, with 1 contact to spare. "),
        (SHARE | {"achieved": 0.5503, "min": 0.55, "max": 0.6, "binding": "min"},
         "binding at the floor, with 0.03 percentage points to spare. "),
        ({"kind": "total", "unit": "EUR", "achieved": 79.9993, "max": 80.0}, "binding. "),
        (RATIO | {"achieved": 2.5000675, "min": 2.5, "max": None, "binding": "min"}, "binding. "),
    ],
)  # fmt: skip
def test_what_binds_with_room_left_says_so(changes, said):
    assert f" - {said}" in say(**changes)


CHURN = {"id": "steady", "label": "Steady", "kind": "churn", "unit": "users", "max": 6000.0, "achieved": 6000.0}


def in_words(rule: Churn | Change, **changes: object) -> str:
    return sentences.constraint(record(**changes), "EUR", PARTS, rule)


def test_churn_says_how_many_may_get_something_else_and_how_many_do():
    rule = Churn(id="steady", max=0.3)
    assert in_words(rule, **CHURN) == (
        "Steady: at most 30 % of all users (6,000) may get something else than before; 6,000 do - binding. "
        "Letting one more user change would be worth at most about 0.19 EUR; 1 % more room (60 users) at most about 11.40 EUR."
    )
    in_sweden = rule.model_copy(update={"users": Filter((("market", ("SE", "NO")),))})
    assert in_words(in_sweden, **(CHURN | FREE | {"achieved": 1234.0})) == (
        "Steady: at most 30 % of users with market SE or NO (6,000) may get something else than before; 1,234 do - not "
        "binding: 4,766 users left; loosening it changes nothing."
    )
    assert "at most 6,000 users may get something else than before; 6,000 do" in say(**CHURN)
    missed = in_words(rule, **(CHURN | {"achieved": 6001.0, "strength": {"soft": 0.5}}))
    assert missed.endswith("6,001 do - missed by 1 user, which costs 0.50 EUR of value (0.50 EUR each).")


def test_change_says_what_it_is_a_part_of():
    changes = {"kind": "change", "min": 142.0, "max": 172.0, "achieved": 150.0, **FREE}
    said = in_words(Change(id="push_capacity", max=0.1), **changes)
    assert "150 contacts, between 142 and 172 allowed, 10 % either way of what was there before - not binding" in said
    assert "between 142 and 172 allowed, near what was there before" in say(**changes)


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("bound", [-2.0, 0.5, 2.5])
@pytest.mark.parametrize("numerator", [-30.0, -1.0, 0.0, 1.0, 30.0])
@pytest.mark.parametrize("denominator", [-10.0, 10.0])
def test_a_ratio_is_judged_by_its_row_whatever_it_divides_by(side, bound, numerator, denominator):
    """The row is +-(numerator - bound * denominator) <= 0; the violation is told in the ratio's unit."""
    sides = {"min": None, "max": None, side: bound}
    held = record(kind="ratio", numerator=numerator, denominator=denominator, achieved=numerator / denominator, **sides)
    row = numerator - bound * denominator if side == "max" else bound * denominator - numerator
    assert sentences.violation(held) == pytest.approx(max(row, 0.0) / abs(denominator))


def test_a_ratio_over_less_than_nothing_is_no_alarm():
    below = RATIO | FREE | {"min": 2.5, "max": None, "achieved": -17.3, "numerator": 125.8, "denominator": -7.27}
    assert say(**below) == (
        "Push capacity: -17.30 EUR per EUR, at least 2.5 asked for - it holds all the same: the amount that it divides by "
        "is below zero (-7.27), where the quotient says little."
    )
    assert state_of(record(**below)) == "free"
    row = constraint_row(record(**below), "EUR", PARTS)
    assert (row.left, row.bullet) == ("holds: divided by less than zero", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"surface": "push"}, "surface push"),
        ({"surface_kind": ["a", "b"], "product": "x"}, "surface kind a or b and product x"),
        ({"market": "SE", "not": {"lifecycle": "new"}}, "market SE, but not lifecycle new"),
        ({"not": {"lifecycle": "new"}}, "anything but lifecycle new"),
    ],
)
def test_filters_in_words(words, said):
    assert filter_words(Churn.model_validate({"id": "c", "users": words}).users) == said


def test_words_under_a_scale_stand_at_their_bound_where_they_fit():
    assert bullet(record(min=1206.0, max=2008.0, achieved=819.0)).low_style.startswith("right: 39.9")
    assert bullet(record(min=142.0, max=172.0, achieved=142.0)).low_style == "left: 0"
    assert bullet(record(min=10.0, max=172.0, achieved=142.0)).low_style == "left: 0"


def test_a_gap_is_told_in_no_finer_steps_than_people_care_for():
    assert sentences.nearness(certificate(gap=1.6e-9)) == "at most 0.00001 % below the best possible"
