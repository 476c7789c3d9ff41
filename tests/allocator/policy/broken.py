"""A hundred policy files with something wrong, as product managers, other programs and enemies write them.

Each has a name, the bytes of the file, and what is told of every mistake in it, in the order of the lines.
"""

from dataclasses import dataclass

HEAD = "version: 1\nobjective: [{metric: revenue, weight: 1.0}]\n"


@dataclass(frozen=True)
class Broken:
    """told: a part of each problem that must be listed; there are no others."""

    name: str
    content: bytes
    told: tuple[str, ...]


def _file(name: str, text: str, *told: str) -> Broken:
    return Broken(name, text.encode(), told)


def _constraint(name: str, fields: str, *told: str) -> Broken:
    return _file(
        name, f"{HEAD}constraints:\n  - {{id: cap, {fields}}}\n", *(f":4: constraints.cap{each}" for each in told)
    )


def _contact(name: str, fields: str, *told: str) -> Broken:
    return _file(name, f"{HEAD}contact:\n  - {{id: cap, {fields}}}\n", *(f":4: contact.cap{each}" for each in told))


SECTIONS = [
    _file("nothing", "", "is empty"),
    _file("blank", "\n\n  \n", "is empty"),
    _file("comments", "# nothing yet\n", "is empty"),
    _file("a word", "policy", "must be a mapping"),
    _file("a list", "- version: 1\n", "must be a mapping"),
    _file("no version", "objective: [{metric: revenue, weight: 1}]\n", "version: is missing"),
    _file("no objective", "version: 1\n", "objective: is missing"),
    _file("another version", HEAD.replace("version: 1", "version: 2"), ":1: version: only version 1"),
    _file("version of text", HEAD.replace("version: 1", "version: '1'"), ":1: version: only version 1"),
    _file("version true", HEAD.replace("version: 1", "version: true"), ":1: version: only version 1"),
    _file("unknown section", f"{HEAD}constraint: []\n", ":3: constraint: unknown key; did you mean 'constraints'?"),
    _file("capitals", f"{HEAD}Constraints: []\n", ":3: Constraints: unknown key; did you mean 'constraints'?"),
    _file("key twice", f"{HEAD}risk: {{z: 1}}\nrisk: {{z: 2}}\n", ":4: the key 'risk' stands twice"),
    _file("section of text", f"{HEAD}contact: none\n", ":3: contact: must be a list"),
    _file("section as mapping", f"{HEAD}contact: {{id: a, max: 1}}\n", ":3: contact: must be a list"),
    _file("rule of text", f"{HEAD}contact: [two a week]\n", ":3: contact[0]: must be a mapping"),
    _file("rule of nothing", f"{HEAD}contact:\n  -\n", ":4: contact[0]: must be a mapping"),
    _file("empty objective", "version: 1\nobjective: []\n", ":2: objective: needs at least one term"),
    _file("term without weight", "version: 1\nobjective: [{metric: revenue}]\n", "objective[0].weight: is missing"),
    _file("term of nothing", "version: 1\nobjective: [{weight: 1}]\n", "objective[0].metric: is missing"),
    _file(
        "weight in words", "version: 1\nobjective: [{metric: revenue, weight: one}]\n", "weight: 'one' is not a number"
    ),
    _file(
        "weight in quotes", "version: 1\nobjective: [{metric: revenue, weight: '1'}]\n", "weight: '1' is not a number"
    ),
    _file(
        "weight beyond sums", "version: 1\nobjective: [{metric: revenue, weight: 1e300}]\n", "weight: must be at most"
    ),
    _file("metric misspelt", HEAD.replace("revenue", "revenu"), "no metric 'revenu'; did you mean 'revenue'?"),
    _file("risk below zero", f"{HEAD}risk: {{z: -1}}\n", ":3: risk.z: must be at least 0"),
    _file("risk of text", f"{HEAD}risk: high\n", ":3: risk: must be a mapping"),
    _file("holdout without salt", f"{HEAD}experiment: {{holdout: {{share: 2%}}}}\n", "holdout.salt: is missing"),
    _file("holdout of everybody", f"{HEAD}experiment: {{holdout: {{share: 1, salt: a}}}}\n", "share: must be below 1"),
    _file(
        "holdout in per cent without the sign",
        f"{HEAD}experiment: {{holdout: {{share: 2, salt: a}}}}\n",
        "share: must be below 1, not 2; did you mean 2%?",
    ),
    _file(
        "one salt for both",
        f"{HEAD}experiment: {{holdout: {{share: 2%, salt: a}}, exploration: {{share: 2%, salt: a}}}}\n",
        "exploration.salt: must differ",
    ),
    _file(
        "more than everybody",
        f"{HEAD}experiment: {{holdout: {{share: 60%, salt: a}}, exploration: {{share: 60%, salt: b}}}}\n",
        "take 1.2 of the users",
    ),
    _file("eligibility without forbid", f"{HEAD}eligibility: [{{id: a}}]\n", ":3: eligibility.a.forbid: is missing"),
    _file(
        "pinned action that is gone",
        f"{HEAD}pinned: [{{id: a, action: push/premium_fam}}]\n",
        "there is no action 'push/premium_fam'; did you mean 'push/premium_family'?",
    ),
    _file("fallback of nobody", f"{HEAD}fallback: {{action: []}}\n", ":3: fallback.action: the list is empty"),
    _file("one tier", "version: 1\ntiers: [{objective: [{metric: subs, weight: 1}]}]\n", "one tier is an objective"),
    _file(
        "objective beside tiers",
        f"{HEAD}tiers: [{{objective: [{{metric: subs, weight: 1}}], give_up: 1%}}, {{objective: [{{metric: subs, weight: 1}}]}}]\n",
        "stands beside `tiers`",
    ),
    _file(
        "ids twice",
        f"{HEAD}contact: [{{id: a, max: 1}}]\nconstraints: [{{id: a, kind: volume, max: 1}}]\n",
        "the id 'a' is taken by contact[0]",
    ),
]

RULES = [
    _constraint("no kind", "max: 1", ".kind: is missing"),
    _constraint(
        "kind misspelt", "kind: volum, max: 1", ".kind: 'volum' is no kind of constraint; did you mean 'volume'?"
    ),
    _constraint("kind of numbers", "kind: 1, max: 1", ".kind: 1 is no kind of constraint"),
    _constraint("no bound", "kind: volume", ": has neither min nor max"),
    _constraint("minimum above maximum", "kind: volume, min: 3, max: 2", ".min: the minimum 3 is above the maximum 2"),
    _constraint("negative", "kind: volume, max: -1", ".max: a number of contacts is at least 0"),
    _constraint("bound in words", "kind: volume, max: many", ".max: 'many' is not a number or a percentage like 5%"),
    _constraint(
        "bound in quotes", "kind: volume, max: '400'", ".max: '400' is not a number or a percentage like 5%; write 400"
    ),
    _constraint(
        "decimal comma", "kind: volume, max: '0,5%'", ".max: '0,5%' is not a number or a percentage like 5%; write 0.5%"
    ),
    _constraint(
        "thousands",
        "kind: volume, max: '400,000'",
        ".max: '400,000' is not a number or a percentage like 5%; write 400000",
    ),
    _constraint(
        "thousands in k",
        "kind: volume, max: 400k",
        ".max: '400k' is not a number or a percentage like 5%; write 400000",
    ),
    _constraint(
        "per cent in words",
        "kind: volume, max: 5 percent",
        ".max: '5 percent' is not a number or a percentage like 5%; write 5%",
    ),
    _constraint(
        "with its unit",
        "kind: total, metric: revenue, max: 80 EUR",
        ".max: '80 EUR' is not a number or a percentage like 5%; write 80",
    ),
    _constraint(
        "currency first",
        "kind: total, metric: revenue, max: €80",
        ".max: '€80' is not a number or a percentage like 5%; write 80",
    ),
    _constraint("bound of lists", "kind: volume, max: [1, 2]", ".max: [1, 2] is not a number"),
    _constraint("bound true", "kind: volume, max: true", ".max: true is not a number"),
    _constraint(
        "per cent of a total",
        "kind: total, metric: subs, max: 5%",
        ".max: a percentage is for a volume or a share; write 0.05",
    ),
    _constraint(
        "share above one",
        "kind: share, where: {surface: push}, max: 75",
        ".max: a share lies between 0 and 1 (or 0% and 100%), not 75; did you mean 75%?",
    ),
    _constraint(
        "churn above one",
        "kind: churn, max: 30",
        ".max: a part of the users lies between 0 and 1 (or 0% and 100%), not 30; did you mean 30%?",
    ),
    _constraint("churn with a minimum", "kind: churn, min: 10%, max: 30%", ".min: churn has max alone"),
    _constraint("change below nothing", "kind: change, max: -10%", ".max: a change is at least 0%"),
    _constraint("total of nothing", "kind: total, max: 1", ".metric: is missing"),
    _constraint("ratio without a divisor", "kind: ratio, metric: subs, min: 1", ".per: is missing"),
    _constraint("key of another kind", "kind: volume, metric: subs, max: 1", ".metric: 'metric' is for"),
    _constraint("times on a volume", "kind: volume, times: discount_eur, max: 1", ".times: 'times' is for"),
    _constraint(
        "filter of text", "kind: volume, where: push, max: 1", ".where: 'push' is not a filter like {surface: push}"
    ),
    _constraint("filter of a list", "kind: volume, where: [push], max: 1", '.where: ["push"] is not a filter'),
    _constraint("empty values", "kind: volume, where: {surface: []}, max: 1", ".where.surface: the list is empty"),
    _constraint(
        "value misspelt",
        "kind: volume, where: {surface: pusch}, max: 1",
        ".where.surface: no action has surface 'pusch'; did you mean 'push'?",
    ),
    _constraint(
        "attribute misspelt",
        "kind: volume, where: {surfaces: push}, max: 1",
        ".where.surfaces: no action has an attribute 'surfaces'; did you mean 'surface'?",
    ),
    _constraint(
        "segment misspelt",
        "kind: volume, users: {markt: SE}, max: 1",
        ".users.markt: there is no segment 'markt'; did you mean 'market'?",
    ),
    _constraint(
        "segment value misspelt",
        "kind: volume, users: {market: SEE}, max: 1",
        ".users.market: no user has market 'SEE'; did you mean 'SE'?",
    ),
    _constraint(
        "number of text",
        "kind: volume, users: {age: 18}, max: 1",
        ".users.age: no user has age 18; a segment is text here, write '18' in quotes",
    ),
    _constraint(
        "filters at odds",
        "kind: volume, where: {surface: push, id: home/audiobooks}, max: 1",
        ".where: no action passes all of these keys together",
    ),
    _constraint(
        "no such day",
        "kind: volume, max: 1, valid_to: 2026-02-30",
        ".valid_to: '2026-02-30' is not a date like 2026-11-23",
    ),
    _constraint(
        "day the other way",
        "kind: volume, max: 1, valid_to: 31.12.2026",
        ".valid_to: '31.12.2026' is not a date like 2026-11-23; write 2026-12-31",
    ),
    _constraint(
        "ends before it begins",
        "kind: volume, max: 1, valid_from: 2026-12-02, valid_to: 2026-12-01",
        ".valid_to: 2026-12-01 is before valid_from",
    ),
    _constraint("strength misspelt", "kind: volume, max: 1, strength: softly", ".strength: 'softly' is none of hard"),
    _constraint(
        "soft for nothing", "kind: volume, max: 1, strength: {soft: -1}", ".strength: the penalty of a soft constraint"
    ),
    _constraint(
        "certainty without its sign",
        "kind: total, metric: subs, max: 1, certainty: 90",
        ".certainty: a certainty is at least 50%",
    ),
    _constraint("label of numbers", "kind: volume, max: 1, label: 5", ".label: must be text, not 5"),
    _file("id with spaces", f"{HEAD}contact: [{{id: my cap, max: 1}}]\n", "'my cap' may have at most 100 letters"),
    _file("no id", f"{HEAD}contact: [{{max: 1}}]\n", "contact[0].id: is missing"),
    _contact("cap in per cent", "max: 5%", ".max: '5%' is not a whole number"),
    _contact("half a contact", "max: 1.5", ".max: 1.5 is not a whole number"),
    _contact("cap below nothing", "max: -1", ".max: must be at least 0"),
    _contact("no cap", "where: {surface: push}", ".max: is missing"),
    _contact(
        "each of nothing",
        "max: 1, each: produkt",
        ".each: no action has an attribute 'produkt'; did you mean 'product'?",
    ),
    _contact("too many days", "max: 1, days: 400", ".days: must be at most 366"),
    _contact("more than slots", "min: 3, max: 4", ".min: a user can never get 3"),
]

DEEP = "[" * 10_000 + "]" * 10_000
BOMB = "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10))
HOSTILE = [
    _file(
        "interpolation",
        f"{HEAD}risk: {{z: '${{oc.env:HOME}}'}}\n",
        ":3: risk.z: interpolation",
    ),
    _file(
        "tag that runs code", f"{HEAD}risk: !!python/object/apply:os.system [ls]\n", ":3: risk: tags are not allowed"
    ),
    _file("own tag", f"{HEAD}risk: !include /etc/passwd\n", ":3: risk: tags are not allowed"),
    _file("alias bomb", f"a0: &a0 x\n{BOMB}", "anchors are not allowed"),
    _file("merge key", f"{HEAD}risk: {{<<: {{z: 1}}}}\n", ":3: risk.<<: merge keys"),
    _file("10,000 levels", f"{HEAD}risk: {DEEP}\n", ":3: nests deeper than 32 levels"),
    _file(
        "10,000 levels of mappings",
        HEAD + "risk: " + "{a: " * 10_000 + "1" + "}" * 10_000 + "\n",
        ":3: nests deeper than 32 levels",
    ),
    _file("10 MB", HEAD + "# filling\n" * 1_000_000, "is longer than 1 MiB"),
    Broken("binary", bytes(range(256)) * 64, ("is not UTF-8 text",)),
    Broken("a picture", b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, ("is not UTF-8 text",)),
    Broken("NUL bytes", HEAD.encode() + b"risk: \x00\n", ("is not valid YAML",)),
    Broken("UTF-16", HEAD.encode("utf-16"), ("is not UTF-8 text",)),
    _file("huge number", f"{HEAD}risk: {{z: {'9' * 400}}}\n", "has more than 18 digits"),
    _file("beyond floats", f"{HEAD}risk: {{z: 1e999}}\n", "is too large a number"),
    _file("not a number", f"{HEAD}risk: {{z: .nan}}\n", ":3: risk.z: .nan is not allowed"),
    _file("two documents", f"{HEAD}---\n{HEAD}", "a second document starts here"),
    _file("reversed text", f"{HEAD}contact: [{{id: cap\u202e, max: 1}}]\n", "may have at most 100 letters"),
    _file("nothing to see", f"{HEAD}contact: [{{id: 'cap\u200b', max: 1}}]\n", "may have at most 100 letters"),
    _file(
        "letters of another script",
        HEAD.replace("revenue", "r\u0435venue"),
        "no metric 'r\u0435venue'; did you mean 'revenue'?",
    ),
    _file("path as an id", f"{HEAD}contact: [{{id: ../../../etc/passwd, max: 1}}]\n", "may have at most 100 letters"),
    _file("endless id", f"{HEAD}contact: [{{id: {'a' * 100_000}, max: 1}}]\n", "may have at most 100 letters"),
    _file("tabs", f"{HEAD}contact:\n\t- {{id: cap, max: 1}}\n", "is not valid YAML"),
    _file("never closed", f"{HEAD}contact: [{{id: cap, max: 1}}\n", "is not valid YAML"),
]
FILES = [*SECTIONS, *RULES, *HOSTILE]
