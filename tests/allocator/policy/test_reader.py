"""A policy file is read strictly, and every mistake in it is told at once, with its line and the word that was meant."""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocator.policy import check, tree
from allocator.policy.grammar import ContactRule, Policy
from allocator.policy.reader import parse_policy, read_policy
from allocator.policy.schema import policy_schema
from allocator.policy.tree import scalar
from allocator.policy.words import Bound, Filter, Strength
from ranker.catalogue import Catalogue, Interference, Kept, Metric, Pair
from ranker.scores import InputError
from tests.allocator.policy.json_schema import why_not

ACTIONS = tuple(
    {
        "id": f"{surface}/{product}",
        "slot": surface,
        "surface": surface,
        "product": product,
        "family": "other" if product == "audiobooks" else "plan",
        "tier": 2 if product == "premium_family" else 1,
        **({} if product == "audiobooks" else {"discount_eur": 4.5}),
    }
    for surface in ("home", "push")
    for product in ("premium_family", "premium_duo", "audiobooks")
)
METRICS = (Metric("subs", "subscribers"), Metric("revenue", "EUR"), Metric("opt_outs", "opt-outs"))
CATALOGUE = Catalogue(ACTIONS, METRICS, ("market", "lifecycle", "age"))
SEGMENTS = {
    "market": frozenset({"SE", "NO", "DE"}),
    "lifecycle": frozenset({"student", "free"}),
    "age": frozenset({"18", "30"}),
}
HEAD = "version: 1\nobjective: [{metric: revenue, weight: 1.0}]\n"


def read(text: str, overrides: Mapping[str, object] | None = None, *, previous: bool = False) -> Policy:
    policy = parse_policy(text, "p.yaml", overrides or {}, CATALOGUE, SEGMENTS, previous=previous)
    if not overrides:
        assert why_not(policy_schema(), tree.parse(text)[0].plain()) is None, (
            "an editor would refuse what the reader takes"
        )
    return policy


def problems(text: str, overrides: Mapping[str, object] | None = None, *, previous: bool = False) -> list[str]:
    with pytest.raises(InputError) as refusal:
        read(text, overrides, previous=previous)
    return list(refusal.value.problems)


def rule(fields: str) -> str:
    return f"{HEAD}constraints:\n  - {{id: cap, {fields}}}\n"


def test_the_grammar_of_the_contract_is_read() -> None:
    policy = read(
        """
version: 1
objective:
  - {metric: revenue, weight: 1}
  - {metric: opt_outs, weight: -25.0, times: discount_eur}
risk: {z: 0.5}
experiment:
  holdout: {share: 0.02, salt: q4}
  exploration: {share: 0.03, salt: 47}
eligibility:
  - {id: students, forbid: {product: premium_family}, users: {lifecycle: student}, owner: plans}
contact:
  - {id: total, max: 2}
  - {id: once_each, max: 1, each: product, where: {not: {surface: push}}}
constraints:
  - {id: books, kind: volume, where: {product: audiobooks}, users: {market: [SE, NO]}, min: 5%, max: 1e6}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 250000, strength: {soft: 2}}
  - {id: plans, kind: share, where: {family: plan}, of: {surface: home}, min: 0.55, max: 75%}
  - {id: rate, kind: average, metric: opt_outs, strength: report_only}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 010}
"""
    )
    books, budget, plans, rate, roi = policy.constraints
    assert policy.objective[1].times == "discount_eur"
    assert (policy.risk_z, policy.holdout.share, policy.exploration.salt) == (0.5, 0.02, "47")
    assert books.users == Filter((("market", ("SE", "NO")),))
    assert (books.min, books.max) == (Bound(5.0, percent=True), Bound(1e6))
    assert budget.strength == Strength("soft", 2.0)
    assert (plans.min, plans.max) == (Bound(0.55), Bound(0.75))
    assert rate.strength.kind == "report_only"
    assert (roi.min, roi.per.times) == (Bound(10.0), "discount_eur")
    assert policy.contact[1].where == Filter((), Filter((("surface", ("push",)),)))
    assert policy.eligibility[0].name == "students"
    assert Policy.model_validate(policy.to_json()) == policy


def test_the_digest_is_that_of_the_meaning() -> None:
    plain = read(rule("kind: volume, max: 40"))
    assert plain.digest == read(rule("max: 40.0, kind: volume") + "# the same").digest
    assert plain.digest != read(rule("kind: volume, max: 41")).digest


MISTAKES = """version: 2
objectiv: []
objective:
  - {metric: revenu, weight: 1.0}
  - {metric: subs, weight: "12", times: product}
  - {metric: subs, weight: .inf}
risk: {z: -1}
experiment:
  holdout: {share: 1.5, salt: a}
  exploration: {share: 0.5, salt: a, sal: 3}
eligibility:
  - {id: students, forbid: {product: premium_familly}, users: {lifecycle: studnet}}
contact:
  - {id: total, max: -2}
  - {id: push, max: 1.5, where: {surfce: push}}
  - {id: once each, max: 1, each: prodct}
  - {id: total, max: 1, wher: {surface: [push, home]}}
constraints:
  - {id: cap, kind: volum, where: {surface: [push, hmoe]}, max: -4}
  - {id: books, kind: volume, users: {market: [SE, "NO", SF]}, min: 5%, max: 2%}
  - {id: budget, kind: total, metric: subs, times: discount, max: 5%}
  - {id: share, kind: share, where: {surface: push}, of: {surface: home}, min: 1.5, metric: subs}
  - {id: none, kind: average, metric: subs}
  - {id: churny, kind: churn, max: 0.3}
  - {id: roi, kind: ratio, metric: subs, per: {metric: sub}, min: 2, strength: {sft: 1}}
  - {id: day, kind: volume, max: 1, valid_from: 2026-02-30, valid_to: soon}
  - {id: week, kind: volume, max: &a 1, valid_from: 2026-02-20, valid_to: 2026-01-01, label: *a, owner: "${oc.env:HOME}"}
  - {id: again, kind: volume, max: !!str 1, max: 2, <<: {a: 1}}
  - foo
  - {id: where, kind: share, where: {not: {product: hifi}}, max: 1}
"""

EXPECTED = """
1: version: only version 1
2: objectiv: unknown key; did you mean 'objective'?
4: objective[0].metric: the scores have no metric 'revenu'; did you mean 'revenue'?
5: objective[1].weight: '12' is not a number
5: objective[1].times: the attribute 'product' is not a number
6: objective[2].weight: .inf is not allowed
7: risk.z: must be at least 0, not -1
9: experiment.holdout.share: must be below 1, not 1.5
10: experiment.exploration.sal: unknown key; did you mean 'salt'?
10: experiment.exploration.salt: must differ from the holdout's salt
12: eligibility.students.forbid.product: no action has product 'premium_familly'; did you mean 'premium_family'?
12: eligibility.students.users.lifecycle: no user has lifecycle 'studnet'; did you mean 'student'?
14: contact.total.max: must be at least 0, not -2
15: contact.push.max: 1.5 is not a whole number
15: contact.push.where.surfce: no action has an attribute 'surfce'; did you mean 'surface'?
16: contact.once each.id: 'once each' may have
16: contact.once each.each: no action has an attribute 'prodct'; did you mean 'product'?
17: contact.total.wher: unknown key; did you mean 'where'?
17: contact.total.id: the id 'total' is taken
19: constraints.cap.kind: 'volum' is no kind of constraint; did you mean 'volume'?
19: constraints.cap.where.surface: no action has surface 'hmoe'; did you mean 'home'?
19: constraints.cap.max: a number of contacts is at least 0, not -4
20: constraints.books.users.market: no user has market 'SF'
20: constraints.books.min: the minimum '5%' is above the maximum '2%'
21: constraints.budget.times: no action has an attribute 'discount'; did you mean 'discount_eur'?
21: constraints.budget.max: a percentage is for a volume or a share; write 0.05
22: constraints.share.metric: 'metric' is for total, average, ratio; a constraint of kind share
22: constraints.share.where: no action is in both `where` and `of`
22: constraints.share.min: a share lies between 0 and 1
23: constraints.none: has neither min nor max
24: constraints.churny.kind: 'churn' compares with an earlier allocation: it needs previous=
25: constraints.roi.per.metric: the scores have no metric 'sub'; did you mean 'subs'?
25: constraints.roi.strength: {"sft": 1} is none of hard
26: constraints.day.valid_from: '2026-02-30' is not a date
26: constraints.day.valid_to: 'soon' is not a date
27: constraints.week.max: anchors are not allowed
27: constraints.week.label: aliases are not allowed
27: constraints.week.owner: interpolation
27: constraints.week.valid_to: 2026-01-01 is before valid_from 2026-02-20
28: constraints.again.max: tags are not allowed
28: constraints.again: the key 'max' stands twice
28: constraints.again.<<: merge keys
29: constraints[10]: must be a mapping
30: constraints.where.where.not.product: no action has product 'hifi'
"""


def test_forty_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(MISTAKES)
    with pytest.raises(InputError) as refusal:
        read_policy(file, {}, CATALOGUE, SEGMENTS)
    told = refusal.value.problems
    wanted = EXPECTED.strip().splitlines()
    missing = [each for each in wanted if not any(problem.startswith(f"{file}:{each}") for problem in told)]
    assert missing == []
    assert len(told) == len(wanted)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("2026-11-23", "2026-11-23"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("010", 10),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e6", 1e6),
        ("1.", 1.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("5%", "5%"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_norway_and_days_need_no_quotes() -> None:
    policy = read(rule("kind: volume, max: 1, users: {market: NO}, valid_from: 2026-11-23"))
    assert policy.constraints[0].users == Filter((("market", ("NO",)),))
    assert policy.constraints[0].valid_from == date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "is empty"),
        ("- a\n", "must be a mapping"),
        ("version: 1\n---\nversion: 1\n", "p.yaml:2: a second document"),
        ("%TAG ! tag:x,2000:\n---\nversion: 1\n", "%TAG directives"),
        ("a: [1, 2\n", "is not valid YAML"),
        ("a:\n\t- 1\n", "is not valid YAML"),
        ("a: \x00\n", "is not valid YAML"),
        ("[" * 40 + "]" * 40, "nests deeper than 32 levels"),
        ("? [a, b]\n: 1\n", "a key must be a word"),
        ("version: 99999999999999999999\n", "more than 18 digits"),
        ("version: 1e999\n", "too large a number"),
        ("version: .nan\n", ".nan is not allowed"),
        ("version: !!python/object/apply:os.system [ls]\n", "tags are not allowed"),
        ("version: ${oc.env:HOME}\n", "interpolation"),
        ("${x}: 1\n", "interpolation"),
        (HEAD + "constraints: 5\n", "constraints: must be a list"),
        (HEAD + "risk: []\n", "risk: must be a mapping"),
        ("version: 1\nobjective: []\n", "objective: needs at least one term"),
        ("version: 1\n", "objective: is missing"),
        ("version: true\nobjective: []\n", "only version 1"),
    ],
)
def test_what_yaml_allows_and_a_policy_does_not(text: str, wanted: str) -> None:
    told = problems(text)
    assert any(wanted in problem for problem in told), told


def test_a_file_that_is_missing_too_long_or_not_text(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    for content, wanted in (
        (None, "no such file"),
        (b"#" * (1 << 20) + b"##", "longer than 1 MiB"),
        (b"a: \xff", "not UTF-8"),
    ):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=wanted):
            read_policy(file, {}, CATALOGUE, SEGMENTS)
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path, {}, CATALOGUE, SEGMENTS)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ("kind: volume, max: 1, users: {age: 18}", "write '18' in quotes"),
        ("kind: volume, max: 1, users: {country: SE}", "there is no segment 'country'"),
        ("kind: volume, max: 1, users: {not: {market: SF}}", "users.not.market: no user has market 'SF'"),
        ("kind: volume, max: 1, where: {tier: 3}", "no action has tier 3"),
        ("kind: volume, max: 1, where: {tier: true}", "no action has tier true"),
        ("kind: volume, max: 1, where: {tier: []}", "the list is empty"),
        ("kind: volume, max: 1, where: push", "is not a filter"),
        ("kind: volume, max: 1, where: {tier: {a: 1}}", "is not a value"),
        ("kind: volume, max: 1, where: {surface: push, id: home/audiobooks}", "no action passes all of these keys"),
        ("kind: volume, max: 1, where: {not: {family: [plan, other]}}", "no action passes all of these keys"),
        (
            "kind: total, metric: subs, max: 1, where: {product: audiobooks}, times: discount_eur",
            "no action in scope has",
        ),
        ("kind: volume, max: 1, strength: {soft: -1}", "the penalty of a soft constraint"),
        ("kind: volume, max: 1, strength: soft", "is none of hard"),
        ("kind: volume, max: true", "is not a number or a percentage"),
        ("kind: volume, max: lots", "is not a number or a percentage"),
        ("kind: volume, min: 6, max: 5", "the minimum 6 is above the maximum 5"),
        ("kind: volume, min: 6, max: 5.5, strength: report_only", "is above the maximum"),
        ("kind: change, max: 30%", "'change' compares with an earlier allocation: it needs previous="),
        ("kind: [volume], max: 1", "is no kind of constraint"),
        ("max: 1", "kind: is missing"),
        ("kind: volume, max: 1, label: 7", "must be text, not 7"),
        ("kind: volume, max: 1, label: ''", "must not be empty"),
    ],
)
def test_a_constraint_that_cannot_mean_anything(fields: str, wanted: str) -> None:
    told = problems(rule(fields))
    assert len(told) == 1
    assert wanted in told[0]
    assert told[0].startswith("p.yaml:4: constraints.cap")


def test_holdout_and_exploration_leave_somebody() -> None:
    told = problems(HEAD + "experiment: {holdout: {share: 0.6, salt: a}, exploration: {share: 0.4, salt: b}}\n")
    assert told == ["p.yaml:3: experiment: holdout and exploration together take 1 of the users; less than 1 is needed"]


def test_rules_hold_on_their_days_alone() -> None:
    policy = read(rule("kind: volume, max: 1, valid_from: 2026-11-01, valid_to: 2026-11-30"))
    assert [
        len(policy.active(date(2026, month, day)).constraints) for month, day in ((10, 31), (11, 1), (11, 30), (12, 1))
    ] == [0, 1, 1, 0]
    assert policy.active(None) == policy


def test_filters_match_as_the_contract_says() -> None:
    words = {"product": ["premium_duo", "premium_family"], "surface": "push", "not": {"tier": 2}}
    found = (
        read(rule("kind: volume, max: 1")).constraints[0].model_validate({"id": "x", "kind": "volume", "where": words})
    )
    assert [action["id"] for action in ACTIONS if found.where.matches(action)] == ["push/premium_duo"]
    assert all(Filter().matches(action) for action in ACTIONS)
    assert not Filter((("tier", (True,)),)).matches({"tier": 1})
    assert not Filter((("tier", (1,)),)).matches({})


def test_a_percentage_is_exact() -> None:
    assert Bound(7.0, percent=True).of(100) == 7.0
    assert Bound(5.0, percent=True).exact(61) * 100 == 305
    assert Bound(0.0).of(10) == 0.0


OVERRIDABLE = """version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 6.0}
  - {metric: subs, weight: -1.0, times: discount_eur}
  - {times: discount_eur, weight: -1.0}
contact: [{id: week.total, max: 2}]
constraints:
  - {id: cap, kind: volume, where: {surface: push}, max: 40}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 2.5}
"""


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ({"cap": {"max": 50}}, lambda p: p.constraints[0].max == Bound(50.0)),
        ({"cap.max": 0}, lambda p: p.constraints[0].max == Bound(0.0)),
        ({"cap": {"max": "5%"}}, lambda p: p.constraints[0].max == Bound(5.0, percent=True)),
        (
            {"cap": {"where": {"surface": ["push", "home"]}}},
            lambda p: p.constraints[0].where.keys[0][1] == ("push", "home"),
        ),
        ({"cap": {"users": {"market": "NO"}}}, lambda p: p.constraints[0].users.keys == (("market", ("NO",)),)),
        ({"cap": {"strength": {"soft": 3}}}, lambda p: p.constraints[0].strength == Strength("soft", 3.0)),
        (
            {"cap": {"max": None, "min": 3}},
            lambda p: (p.constraints[0].max, p.constraints[0].min) == (None, Bound(3.0)),
        ),
        ({"roi": {"per": {"times": None}}}, lambda p: p.constraints[1].per.times is None),
        ({"week": {"total": {"max": 3}}}, lambda p: p.contact[0].max == 3),
        ({"holdout": {"share": 0.1, "salt": "q"}}, lambda p: p.holdout.share == 0.1),
        ({"risk": {"z": 1}}, lambda p: p.risk_z == 1.0),
        ({"experiment": {"holdout": {"share": "3%", "salt": "q"}}}, lambda p: p.holdout.share == 0.03),
        ({"experiment": {"exploration": {"share": "3%", "salt": "q"}}}, lambda p: p.exploration.share == 0.03),
        ({"objective": {"revenue": {"weight": 2}}}, lambda p: p.objective[0].weight == 2.0),
        (
            {"objective": {"subs": {"weight": 3, "times": {"discount_eur": {"weight": -2}}}}},
            lambda p: [term.weight for term in p.objective] == [1.0, 3.0, -2.0, -1.0],
        ),
        ({"objective": {"times": {"discount_eur": {"weight": -5}}}}, lambda p: p.objective[3].weight == -5.0),
        ({"objective": {"subs": None}}, lambda p: [term.metric for term in p.objective] == ["revenue", "subs", None]),
    ],
)
def test_values_set_on_the_command_line(overrides: dict, found: object) -> None:
    assert found(read(OVERRIDABLE, overrides))


def test_a_rule_is_taken_away_with_all_that_is_wrong_with_it() -> None:
    text = OVERRIDABLE.replace("max: 40", "max: -40, wher: {}")
    policy = read(text, {"cap": None, "week.total": None})
    assert ([each.id for each in policy.constraints], policy.contact) == (["roi"], ())
    assert read(text, {"cap": None, "cap.max": 5}).constraints == policy.constraints, "whatever else is said of it"
    told = problems(text, {"cap": None, "roi": {"min": "x"}})
    assert told == ["p.yaml: set.roi.min: 'x' is not a number or a percentage like 5%"]
    experiment = "experiment: {holdout: {share: 0.1, salt: a}}\n"
    assert read(HEAD + experiment, {"holdout": None}) == read(HEAD)
    assert read(HEAD, {"holdout": None, "fallback": None}) == read(HEAD)


def test_wrong_values_set_on_the_command_line_are_told_by_their_key() -> None:
    told = problems(
        OVERRIDABLE,
        {
            "cpa": {"max": 5},
            "cap": {"mx": 5, "max": -1, "where": {"surface": "psuh"}},
            "roi": {"metric": "revenu", "min": "x"},
            "week": {"total": 3},
            "holdout": {"share": 2},
        },
    )
    assert sorted(told) == sorted(
        [
            "p.yaml: set.cpa.max: no rule has the id 'cpa'; did you mean 'cap'?",
            "p.yaml: set.cap.mx: unknown key; did you mean 'max'?",
            "p.yaml: set.cap.max: a number of contacts is at least 0, not -1",
            "p.yaml: set.cap.where.surface: no action has surface 'psuh'; did you mean 'push'?",
            "p.yaml: set.roi.metric: the scores have no metric 'revenu'; did you mean 'revenue'?",
            "p.yaml: set.roi.min: 'x' is not a number or a percentage like 5%",
            "p.yaml: set.week.total: names a rule but no field; write set.week.total.FIELD=VALUE",
            "p.yaml: set.holdout.share: must be below 1, not 2; did you mean 2%?",
            "p.yaml: set.holdout.share: experiment.holdout.salt: is missing",
        ]
    )


MARKS = [
    "'",
    '"',
    "%YAML 1.1",
    "\n",
    "\n  ",
    "\t",
    " ",
    "-",
    ":",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a",
    "*a",
    "!!str",
    "<<",
    "|",
    ">",
    "?",
]
NAMES = [
    "version",
    "objective",
    "constraints",
    "id",
    "kind",
    "where",
    "not",
    "max",
    "volume",
    "revenue",
    "5%",
    "NO",
    "1",
]
WORDS = st.sampled_from(MARKS + NAMES)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join)
    )
)
def test_any_text_is_a_policy_or_a_list_of_problems(text: str) -> None:
    try:
        read(text)
    except InputError as error:
        assert all(problem.startswith("p.yaml") for problem in error.problems)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["5%", "NO", "push", "x", "subs", "hard", "volume"])
)
KEYS = st.sampled_from(
    ["id", "kind", "where", "users", "max", "min", "metric", "not", "surface", "soft", "of", "per", "strength", "x"]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["cap", "roi", "week.total", "holdout", "risk", "nobody"]), VALUES, max_size=3))
def test_any_values_set_make_a_policy_or_a_list_of_problems(overrides: dict) -> None:
    try:
        read(OVERRIDABLE, overrides)
    except InputError as error:
        assert all(problem.startswith("p.yaml") for problem in error.problems)


def test_attributes_are_summed_without_a_metric() -> None:
    policy = read(f"""{HEAD[:-2]}, {{times: discount_eur, weight: -1}}]
constraints:
  - {{id: postage, kind: total, times: discount_eur, max: 20}}
  - {{id: roi, kind: ratio, metric: revenue, per: {{times: discount_eur}}, min: 2}}
  - {{id: books, kind: share, where: {{product: audiobooks}}, max: 20%}}
""")
    assert [(term.metric, term.times) for term in policy.objective] == [("revenue", None), (None, "discount_eur")]
    assert [(each.metric, each.times) for each in policy.constraints[:2]] == [(None, "discount_eur"), ("revenue", None)]
    assert policy.constraints[2].of == Filter()
    assert Policy.model_validate(policy.to_json()) == policy


def test_every_mistake_in_a_sum_of_attributes_is_told() -> None:
    told = problems(f"""{HEAD[:-2]}, {{weight: -1}}]
constraints:
  - {{id: cap, kind: volume, times: discount_eur, max: 5}}
  - {{id: sum, kind: total, max: 5}}
  - {{id: roi, kind: ratio, times: discount, per: {{}}, min: 2}}
  - {{id: rate, kind: average, times: discount_eur, min: 2}}
""")
    missing = "is missing; name a metric, or `times` alone for the sum of an attribute of the actions"
    assert told == [
        f"p.yaml:2: objective[1].metric: {missing}",
        "p.yaml:4: constraints.cap.times: 'times' is for total, average, ratio; a constraint of kind volume has no such key. The sum "
        "of an attribute over contacts is of kind total, with `times` and without `metric`",
        f"p.yaml:5: constraints.sum.metric: {missing}",
        f"p.yaml:6: constraints.roi.per.metric: {missing}",
        "p.yaml:6: constraints.roi.times: no action has an attribute 'discount'; did you mean 'discount_eur'?",
        "p.yaml:7: constraints.rate.metric: is missing",
    ]


def test_a_constraint_may_be_one_for_each_value() -> None:
    policy = read(rule("kind: volume, each: market, max: 5%") + "  - {id: b, kind: share, each: product, max: 20%}\n")
    assert [each.each for each in policy.constraints] == ["market", "product"]
    assert Policy.model_validate(policy.to_json()) == policy
    assert "each" not in read(rule("kind: volume, max: 5%")).to_json()["constraints"][0], "digests stay what they were"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            "kind: volume, each: markt, max: 5",
            "each: there is no segment and no attribute of actions 'markt'; did you mean 'market'?",
        ),
        ("kind: churn, each: product, max: 5%", "each: there is no segment 'product'"),
        ("kind: volume, each: [market], max: 5", "each: must be text"),
    ],
)
def test_what_a_constraint_cannot_be_for_each_of(fields: str, told: str) -> None:
    (one,) = problems(rule(fields), previous=True)
    assert told in one


def test_a_row_of_a_rule_cannot_be_set_alone() -> None:
    text = rule("kind: volume, each: market, max: 5%")
    name = read(text).constraints[0].id
    (one,) = problems(text, {f"{name}@SE": {"max": 4}})
    assert f"'{name}@SE' is one row of {name}, whose fields hold for every value; write set.{name}.FIELD=VALUE" in one
    assert read(text, {name: {"max": "4%"}}).constraints[0].max == Bound(4.0, True)


def test_a_change_is_a_part_of_what_was() -> None:
    policies = [read(rule(f"kind: change, max: {most}"), previous=True) for most in ("30%", "0.3")]
    assert policies[0] == policies[1]
    assert policies[0].constraints[0].max == Bound(0.3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("kind: change, min: 10%, max: 30%", "a change has max alone"),
        ("kind: change", "has no max; give the most"),
        ("kind: change, max: -1%", "a change is at least 0%"),
        (
            "kind: change, max: 5%, of: {surface: push}",
            "'of' is for share; a constraint of kind change has no such key",
        ),
    ],
)
def test_a_change_that_cannot_mean_anything(fields: str, told: str) -> None:
    (problem,) = problems(rule(fields), previous=True)
    assert told in problem


def test_churn_is_a_part_of_the_users() -> None:
    policies = [read(rule(f"kind: churn, max: {most}, users: {{market: SE}}"), previous=True) for most in ("30%", 0.3)]
    assert policies[0].digest == policies[1].digest
    assert policies[0].constraints[0].max == Bound(0.3)
    assert policies[0].compares
    assert Policy.model_validate(policies[0].to_json()) == policies[0]
    assert [policies[0].constraints[0].limits(users, 0)[1] for users in (0, 3, 4, 10, 99, 1000)] == [
        0,
        0,
        1,
        3,
        29,
        300,
    ]
    changed = read(rule("kind: churn, max: 30%"), {"cap": {"max": "29%"}}, previous=True)
    assert changed.constraints[0].limits(100, 0) == (None, 29)  # in floats, 0.29 * 100 is below 29
    assert not read(rule("kind: volume, max: 3")).compares


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("kind: churn, min: 10%, max: 30%", "min: churn has max alone"),
        ("kind: churn", "has no max; give the part of the users"),
        ("kind: churn, strength: report_only", "has no max; give the part of the users"),
        ("kind: churn, max: 101%", "max: a part of the users lies between 0 and 1 (or 0% and 100%), not '101%'"),
        ("kind: churn, max: 1.5", "max: a part of the users lies between 0 and 1 (or 0% and 100%), not 1.5"),
        ("kind: churn, max: -1%", "max: a part of the users lies between 0 and 1"),
        ("kind: churn, max: few", "max: 'few' is not a number or a percentage"),
        (
            "kind: churn, max: 5%, where: {surface: push}",
            "where: 'where' is for volume, total, share, average, ratio",
        ),
        ("kind: churn, max: 5%, users: {market: SF}", "users.market: no user has market 'SF'"),
        ("kind: chrn, max: 5%", "kind: 'chrn' is no kind of constraint; did you mean 'churn'?"),
    ],
)
def test_churn_that_cannot_mean_anything(fields: str, told: str) -> None:
    found = problems(rule(fields), previous=True)
    assert len(found) == 1
    assert told in found[0]


def test_a_contact_rule_may_look_back() -> None:
    contact = (
        HEAD + "contact:\n  - {id: push_month, max: 3, where: {surface: push}, days: 28}\n  - {id: total, max: 2}\n"
    )
    policy = read(contact)
    assert [each.days for each in policy.contact] == [28, None]
    assert Policy.model_validate(policy.to_json()) == policy
    assert read(contact, {"push_month": {"days": 14}}).contact[0].days == 14
    assert read(contact, {"push_month": {"days": None}}).contact[0].days is None
    assert read(contact, {"push_month": {"days": 14}}).digest != policy.digest


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ("0", "must be at least 1, not 0"),
        ("367", "must be at most 366, not 367"),
        ("1.5", "1.5 is not a whole number"),
        ("a month", "'a month' is not a whole number"),
        ("true", "true is not a whole number"),
    ],
)
def test_days_that_no_contact_rule_can_look_back(days: str, told: str) -> None:
    found = problems(f"{HEAD}contact: [{{id: total, max: 2, days: {days}}}]\n")
    assert found == [f"p.yaml:3: contact.total.days: {told}"]


def test_contact_rules_of_every_kind() -> None:
    policy = read(f"""{HEAD}contact:
  - {{id: calm, max: 1, users: {{market: SE}}}}
  - {{id: series, min: 2, max: 3, where: {{surface: home}}, days: 7}}
  - {{id: after, requires: {{product: audiobooks}}, where: {{product: premium_family}}, days: 28}}
""")
    calm, series, after = policy.contact
    assert (calm.listeners, series.listeners) == (Filter((("market", ("SE",)),)), Filter())
    assert (series.min, series.max, after.max, after.requires) == (2, 3, None, Filter((("product", ("audiobooks",)),)))
    assert policy.user_filters == (calm.users,)
    assert Policy.model_validate(policy.to_json()) == policy
    plain = read(f"{HEAD}contact: [{{id: total, max: 2}}]\n").to_json()["contact"]
    assert plain == [{"id": "total", "max": 2, "where": {}}], "digests stay what they were"
    changed = read(
        f"{HEAD}contact: [{{id: a, requires: {{product: audiobooks}}}}]\n",
        {"a": {"requires": {"surface": "home"}, "days": 7}},
    )
    assert changed.contact[0].requires.keys[-1] == ("surface", ("home",))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("where: {surface: home}", "contact.r.max: is missing"),
        ("max: 1, users: {markt: SE}", "contact.r.users.markt: there is no segment 'markt'; did you mean 'market'?"),
        ("max: 1, min: 2", "contact.r.min: the minimum 2 is above the maximum 1"),
        ("max: 1, min: 0", "contact.r.min: must be at least 1, not 0"),
        ("max: 9, min: 9", "contact.r.min: a user can never get 9: the actions in scope are of"),
        ("max: 1, requires: {surface: home}", "contact.r.max: stands beside `requires`; write two rules"),
        ("requires: {surface: hom}", "contact.r.requires.surface: no action has surface 'hom'; did you mean 'home'?"),
        (
            "requires: {}",
            "contact.r.requires: every action in `where` is in `requires` as well, so the rule asks for nothing",
        ),
        ("requires: {surface: home}, where: {surface: home}", "the rule asks for nothing"),
        ("requres: {surface: home}, max: 1", "contact.r.requres: unknown key; did you mean 'requires'?"),
    ],
)
def test_a_contact_rule_that_cannot_mean_anything(fields: str, told: str) -> None:
    (one,) = problems(f"{HEAD}contact: [{{id: r, {fields}}}]\n")
    assert one.startswith("p.yaml:3: ")
    assert told in one


def test_pinned_and_fallback_contacts_are_read() -> None:
    policy = read(
        f"""{HEAD}pinned:
  - {{id: welcome, users: {{market: SE}}, action: push/audiobooks, label: Welcome, valid_to: 2026-12-31}}
fallback: {{action: home/premium_duo}}
""",
        {"welcome": {"action": "home/audiobooks"}, "fallback": {"users": {"market": "NO"}}},
    )
    (welcome,) = policy.pinned
    assert (welcome.name, welcome.action) == ("Welcome", "home/audiobooks")
    assert welcome.users == Filter((("market", ("SE",)),))
    assert policy.fallback.action == ("home/premium_duo",)
    assert policy.user_filters == (welcome.users, Filter((("market", ("NO",)),)))
    assert policy.active(date(2027, 1, 1)).pinned == ()


def test_every_mistake_of_pinned_and_fallback_contacts_is_told() -> None:
    told = problems(f"""{HEAD}pinned:
  - {{id: a, users: {{market: SF}}, action: push/audiobook}}
  - {{id: a, where: {{surface: push}}}}
fallback: {{action: [home/premium_duo, home/premium_duo, hom/audiobooks], user: {{market: SE}}}}
""")
    expected = [
        "p.yaml:4: pinned.a.users.market: no user has market 'SF'",
        "p.yaml:4: pinned.a.action: there is no action 'push/audiobook'; did you mean 'push/audiobooks'?",
        "p.yaml:5: pinned.a.action: is missing",
        "p.yaml:5: pinned.a.where: unknown key",
        "p.yaml:5: pinned.a.id: the id 'a' is taken by pinned[0]",
        "p.yaml:6: fallback.action: there is no action 'hom/audiobooks'; did you mean 'home/audiobooks'?",
        "p.yaml:6: fallback.action: 'home/premium_duo' stands 2 times",
        "p.yaml:6: fallback.user: unknown key; did you mean 'users'?",
    ]
    assert all(any(problem.startswith(words) for problem in told) for words in expected), told
    assert len(told) == len(expected)
    assert problems(f"{HEAD}fallback: {{action: []}}") == [
        "p.yaml:3: fallback.action: the list is empty; name at least one action"
    ]


TIERS = "version: 1\ntiers:\n"


def test_tiers_are_read_in_their_order() -> None:
    policy = read(f"""{TIERS}  - {{objective: [{{metric: subs, weight: 1}}], give_up: 1%}}
  - {{objective: [{{metric: revenue, weight: 1}}, {{metric: opt_outs, weight: -2}}]}}
""")
    assert [tier.part for tier in policy.tiers[:1]] == [0.01]
    assert policy.tiers[0].floor(-200.0) == -202.0
    assert policy.objective == policy.tiers[1].objective
    assert {term.metric for term in policy.terms} == {"subs", "revenue", "opt_outs"}
    assert "objective" not in policy.to_json()
    assert Policy.model_validate(policy.to_json()) == policy
    assert "tiers" not in read(HEAD).to_json()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            {"objective": {"revenu": {"weight": 2}}},
            "p.yaml: set.objective.revenu.weight: the policy has no 'objective.revenu'; did you mean 'objective.revenue'?",
        ),
        (
            {"objective": {"revenue": {"wheight": 2}}},
            "p.yaml: set.objective.revenue.wheight: unknown key; did you mean 'weight'?",
        ),
        (
            {"objective": {"subs": 2}},
            "p.yaml: set.objective.subs: names a term but no field; write set.objective.subs.weight=VALUE",
        ),
        (
            {"experiment": {"holdut": {"share": 0.1}}},
            "p.yaml: set.experiment.holdut.share: the policy has no 'experiment.holdut'; did you mean 'experiment.holdout'?",
        ),
        (
            {"experiment": {"holdout": {"shar": 0.1, "share": 0.1, "salt": "q"}}},
            "p.yaml: set.experiment.holdout.shar: unknown key; did you mean 'share'?",
        ),
        ({"rsik": {"z": 1}}, "p.yaml: set.rsik.z: no rule has the id 'rsik'; did you mean 'risk'?"),
        ({"cap": {"mx": 1}}, "p.yaml: set.cap.mx: unknown key; did you mean 'max'?"),
    ],
)
def test_a_path_that_is_not_there_is_told_with_the_nearest(overrides: dict, told: str) -> None:
    assert problems(OVERRIDABLE, overrides) == [told]


def test_an_objective_of_which_nothing_is_left_is_refused() -> None:
    (problem,) = problems(HEAD, {"objective": {"revenue": None}})
    assert problem == "p.yaml:2: objective: needs at least one term like {metric: revenue, weight: 1.0}"


def test_a_term_of_a_tier_is_set_by_its_metric() -> None:
    changed = read(TWO_TIERS, {"tiers": {"0": {"objective": {"subs": {"weight": 2}}}}})
    assert changed.tiers[0].objective[0].weight == 2.0
    (problem,) = problems(TWO_TIERS, {"objective": {"subs": {"weight": 2}}})
    told = "the policy has tiers instead of one objective; write set.tiers.0.objective.METRIC.weight=VALUE"
    assert problem == f"p.yaml: set.objective.subs.weight: {told}"


TWO_TIERS = f"""{TIERS}  - {{objective: [{{metric: subs, weight: 1}}], give_up: 1%}}
  - {{objective: [{{metric: revenue, weight: 1}}]}}
"""


def test_a_field_of_a_tier_is_set_by_its_position() -> None:
    changed = read(TWO_TIERS, {"tiers": {"0": {"give_up": "2%"}}})
    assert changed.tiers[0].give_up == Bound(2.0, percent=True)
    assert changed.tiers[1] == read(TWO_TIERS).tiers[1]
    last = read(TWO_TIERS, {"tiers.1.objective": [{"metric": "opt_outs", "weight": -3}]})
    assert (last.objective[0].metric, last.objective[0].weight) == ("opt_outs", -3.0)
    with_a_rule = TWO_TIERS + "constraints: [{id: tiers, kind: volume, max: 3}]\n"
    assert read(with_a_rule, {"tiers": {"max": 5, "0": {"give_up": "2%"}}}).constraints[0].max == Bound(5.0)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"tiers": {"0": {"give_up": "0%"}}}, "set.tiers.0.give_up: must be above 0% and below 100%, not '0%'"),
        ({"tiers": {"1": {"give_up": "1%"}}}, "set.tiers.1.give_up: nothing comes after the last tier"),
        ({"tiers": {"0": {"giveup": "1%"}}}, "set.tiers.0.giveup: unknown key; did you mean 'give_up'?"),
        ({"tiers": {"0": None}}, "set.tiers.0: names a tier but no field; write set.tiers.0.FIELD=VALUE"),
        ({"tiers": {"2": {"give_up": "1%"}}}, "set.tiers.2.give_up: names none of the 2 tiers; write set.tiers.0.FIELD"),
        ({"tiers": {"give_up": "1%"}}, "set.tiers.give_up: names none of the 2 tiers"),
        ({"tiers": None}, "set.tiers: names none of the 2 tiers"),
        ({"tiers": {"0": {"objective": {"0": {"weight": 2}}}}}, "set.tiers.0.objective.0.weight: must be a list, not"),
    ],
)  # fmt: skip
def test_what_a_tier_cannot_be_set_to_is_told(overrides: dict, told: str) -> None:
    (problem,) = problems(TWO_TIERS, overrides)
    assert problem.startswith(f"p.yaml: {told}")
    (problem,) = problems(HEAD, {"tiers": {"0": {"give_up": "1%"}}})
    assert problem == "p.yaml: set.tiers.0.give_up: the policy has no tiers"


def test_every_mistake_in_tiers_is_told() -> None:
    told = problems(f"""{TIERS}  - {{objective: [{{metric: sub, weight: 1}}], give_up: 0%}}
  - {{objective: [{{metric: subs, wieght: 1}}]}}
  - {{objective: [{{metric: revenue, weight: 1}}], give_up: 100}}
objective: [{{metric: revenue, weight: 1}}]
""")
    expected = [
        "p.yaml:3: tiers[0].objective[0].metric: the scores have no metric 'sub'; did you mean 'subs'?",
        "p.yaml:3: tiers[0].give_up: must be above 0% and below 100%, not '0%'",
        "p.yaml:4: tiers[1]: does not say what it may give_up",
        "p.yaml:4: tiers[1].objective[0].wieght: unknown key; did you mean 'weight'?",
        "p.yaml:4: tiers[1].objective[0].weight: is missing",
        "p.yaml:5: tiers[2].give_up: nothing comes after the last tier",
        "p.yaml:6: objective: stands beside `tiers`",
    ]
    assert all(any(problem.startswith(words) for problem in told) for words in expected), told
    assert len(told) == len(expected)
    (one,) = problems(f"{TIERS}  - {{objective: [{{metric: subs, weight: 1}}]}}\n")
    assert "one tier is an objective" in one
    assert "needs at least two tiers" in problems("version: 1\ntiers: []\n")[0]


SPOILING = Interference(
    28, None, (Pair({"product": "audiobooks"}, {"product": "premium_duo"}, Kept(0.4, 0.1), "history"),)
)
APART = f"{HEAD}contact: [{{id: apart, max: 1, spoils: 0.8}}]\n"


def with_interference(text: str, overrides: Mapping[str, object] | None = None) -> Policy:
    return parse_policy(text, "p.yaml", overrides or {}, replace(CATALOGUE, interference=SPOILING), SEGMENTS)


def test_a_contact_rule_may_be_about_what_spoils_each_other() -> None:
    policy = with_interference(APART)
    assert policy.contact[0].spoils == 0.8
    assert Policy.model_validate(policy.to_json()) == policy
    assert with_interference(APART, {"apart": {"spoils": 0.5}}).contact[0].spoils == 0.5


@pytest.mark.parametrize("part", ["0", "1.5", "a lot", ".nan"])
def test_parts_that_nothing_can_keep_are_refused(part: str) -> None:
    with pytest.raises(InputError, match=r"p\.yaml:3"):
        with_interference(APART.replace("0.8", part))


def test_scores_that_do_not_say_what_spoils_what_are_refused_with_everything_else() -> None:
    found = problems(f"{HEAD}contact: [{{id: apart, max: 0, each: product, spoils: 0.8}}]\n")
    assert [problem.split(": ", 2)[1:] for problem in found] == [
        ["contact.apart.spoils", "stands beside `each`; write two rules"],
        [
            "contact.apart.max",
            "with `spoils` it is at least 1: two that spoil each other are kept apart, not forbidden",
        ],
        [
            "contact.apart.spoils",
            "the scores do not say what spoils what: their catalogue.json has no `interference`, which the ranker writes "
            "where logs tell of earlier contacts",
        ],
    ]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


SWEDISH = Catalogue(
    ({"id": "push/böcker", "slot": "push", "produkt": "ljudböcker", nfd("språk"): nfd("på"), "code": 1, "flag": True},),
    METRICS,
    ("ort",),
)
TOWNS = {"ort": frozenset({"Göteborg", nfd("Göteborg"), nfd("Umeå"), "1e6", "true"})}


def read_swedish(rules: str, overrides: Mapping[str, object] | None = None) -> Policy:
    return parse_policy(HEAD + rules, "p.yaml", overrides or {}, SWEDISH, TOWNS)


def test_the_same_letters_match_in_whichever_unicode_form() -> None:
    rules = f"""pinned: [{{id: pin, action: {nfd("push/böcker")}}}]
contact: [{{id: lang, max: 1, each: språk, where: {{språk: på}}}}]
constraints:
  - {{id: {nfd("böcker")}, kind: volume, where: {{produkt: {nfd("ljudböcker")}}}, users: {{ort: [{nfd("Göteborg")}, Umeå]}}, max: 5}}
  - {{id: not, kind: volume, users: {{not: {{ort: Umeå}}}}, max: 5}}
"""
    policy = read_swedish(rules, {nfd("böcker"): {"max": 3}})
    assert policy.pinned[0].action == "push/böcker"
    assert (policy.contact[0].each, policy.contact[0].where.keys) == (nfd("språk"), ((nfd("språk"), (nfd("på"),)),))
    rule = policy.constraints[0]
    assert (rule.id, rule.max.amount) == ("böcker", 3)
    assert rule.where.keys == (("produkt", ("ljudböcker",)),)
    assert set(rule.users.keys[0][1]) == {"Göteborg", nfd("Göteborg"), nfd("Umeå")}, "as many spellings as there are"
    assert policy.constraints[1].users.negated.keys == (("ort", (nfd("Umeå"),)),)


def test_ids_are_one_whatever_their_unicode_form() -> None:
    rules = f"constraints: [{{id: böcker, kind: volume, max: 5}}, {{id: {nfd('böcker')}, kind: volume, max: 5}}]\n"
    with pytest.raises(InputError, match=r"the id 'böcker' is taken by constraints\[0\]"):
        read_swedish(rules)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ('where: {code: "1"}', "the attribute is a number here, write 1 without quotes"),
        ('where: {flag: "true"}', "the attribute is true or false here, write true without quotes"),
        ("users: {ort: 1e6}", "a segment is text here, write '1e6' in quotes"),
        ("users: {ort: true}", "a segment is text here, write 'true' in quotes"),
        ("where: {produkt: 1}", "no action has produkt 1"),
    ],
)
def test_numbers_and_texts_are_told_apart(fields: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_swedish(f"constraints: [{{id: a, kind: volume, max: 5, {fields}}}]\n")


def test_a_text_column_of_too_many_values_is_no_segment() -> None:
    catalogue = replace(CATALOGUE, segments=("market", "postcode"))
    with pytest.raises(
        InputError, match="'postcode' has more than 10,000 different values, or one for nearly every user"
    ):
        parse_policy(rule("kind: volume, max: 5, users: {postcode: '11122'}"), "p", {}, catalogue, SEGMENTS)


def test_reading_takes_no_time_per_rule_and_action() -> None:
    """Filters are sets of actions: a rule looks at those that it names, not at all of them."""
    actions = tuple({"id": f"a{n}", "slot": f"s{n}", "product": f"p{n}", "discount_eur": 1.0} for n in range(3_000))
    catalogue = replace(CATALOGUE, actions=actions)
    world = check.World(catalogue, SEGMENTS)
    filters = [Filter((("product", (f"p{n}", f"p{n + 1}")),)) for n in range(0, 3_000, 3)]
    assert [sorted(world.actions_in(words)) for words in filters] == [[n, n + 1] for n in range(0, 3_000, 3)]
    assert world.actions_in(Filter((), filters[0])) == frozenset(range(2, 3_000))
    assert world.actions_in(filters[0], filters[1]) == frozenset()


@given(st.lists(st.sampled_from([1, 1.0, True, "1", 0, False, 2.5, "x"]), min_size=1, max_size=5))
def test_sets_of_actions_are_those_that_match(values: list) -> None:
    actions = tuple({"id": f"a{n}", "slot": "s", "code": value} for n, value in enumerate(values))
    world = check.World(replace(CATALOGUE, actions=actions), SEGMENTS)
    for wanted in (1, True, "1", 0, False, 2.5):
        for words in (Filter((("code", (wanted, "x")),)), Filter((), Filter((("code", (wanted,)),)))):
            assert world.actions_in(words) == {n for n, action in enumerate(actions) if words.matches(action)}


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("\u0662\u0660", "20"),
        ("\u0662\u0660\u066a", "20%"),
        ("\uff12\uff10", "20"),
        ("\uff12\uff10%", "20%"),
        ("\u0968\u0966\uff05", "20%"),
        ("\u0660\u066b\u0665", "0.5"),
    ],
)
def test_digits_of_other_scripts_are_no_bound(words: str, digits: str) -> None:
    (problem,) = problems(rule(f"kind: volume, max: {words}"))
    told = f"'{words}' is not a number or a percentage like 5%; digits are 0 to 9, so write {digits}"
    assert problem == f"p.yaml:4: constraints.cap.max: {told}"
    (problem,) = problems(rule("kind: volume, max: 1"), {"cap": {"max": words}})
    assert problem == f"p.yaml: set.cap.max: {told}"


def test_a_share_is_a_fraction_or_per_cent() -> None:
    words = """experiment:
  holdout: {share: 2%, salt: a}
  exploration: {share: 2.5 %, salt: b}
"""
    policy = read(HEAD + words)
    assert (policy.holdout.share, policy.exploration.share) == (0.02, 0.025)
    assert read(HEAD + words, {"holdout": {"share": "7%"}}).holdout.share == 0.07
    assert policy.digest == read(HEAD + words.replace("2%", "0.02").replace("2.5 %", "0.025")).digest


@pytest.mark.parametrize("share", ["100%", "-1%", "2 percent", "\u0662%", "2%%"])
def test_a_share_that_is_none_is_refused_with_its_place(share: str) -> None:
    (problem,) = problems(f"{HEAD}experiment:\n  holdout: {{share: {share}, salt: a}}\n")
    assert problem.startswith("p.yaml:4: experiment.holdout.share: ")


def test_what_offers_leave_of_each_other_may_be_per_cent() -> None:
    assert ContactRule.model_validate({"id": "apart", "max": 1, "spoils": "80%"}).spoils == 0.8
