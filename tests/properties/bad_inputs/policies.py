"""Policies with something wrong in them, as `check_policy` and `allocate` meet them; `tests/allocator/policy/broken.py` has more."""

from pathlib import Path

from tests.allocator.instances import CONTACT, OBJECTIVE
from tests.properties.bad_inputs.case import Bad, Spoil, content, nothing

POLICY = (
    OBJECTIVE
    + CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 90%}
  - {id: books, kind: volume, where: {product: books}, min: 1%}
"""
)
FILE = "policy.yaml"
CHECK = ("check_policy", f"policy={FILE}", "scores=scores")
ALLOCATE = ("allocate", "scores=scores", f"policy={FILE}", "out=made")
DEEP = "{a: " * 200_000
LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


def _file(name: str, text: str | bytes, *told: str) -> Bad:
    return Bad("policies", name, content(FILE, text), CHECK, told)


def _rule(name: str, fields: str, *told: str) -> Bad:
    """A policy of one constraint."""
    text = f"{OBJECTIVE}constraints:\n  - {{id: cap, {fields}}}\n"
    return _file(f"{name}: {fields}"[:60], text, *(f"policy.yaml:7: constraints.cap{part}" for part in told))


def _added(name: str, text: str, *told: str) -> Bad:
    return _file(name, POLICY + text, *told)


def _word(name: str, word: str, *told: str) -> Bad:
    return Bad("overrides", name, nothing, (*ALLOCATE, *word.split("|")), told)


def _at_once(name: str, word: str, *told: str) -> Bad:
    return Bad("overrides", f"at once, {name}", nothing, (*CHECK, word), told)


def _no_file(made: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / FILE).unlink()
        if made == "folder":
            (folder / FILE).mkdir()
        elif made == "link":
            (folder / FILE).symlink_to(FILE)

    return spoil


POLICIES = [
    _file("empty", "", "policy.yaml: is empty"),
    _file("a list", "- version: 1\n", "policy.yaml", "must be a mapping"),
    _file("tabs", "version: 1\nobjective:\n\t- {metric: subs, weight: 1}\n", "policy.yaml:3"),
    _file("a bracket open", "version: 1\nobjective: [{metric: subs\n", "policy.yaml:"),
    _file("bytes that are no text", b"version: 1\n# \xff\xfe\n", "policy.yaml", "UTF-8"),
    _file("UTF-16", "version: 1\n".encode("utf-16"), "policy.yaml", "UTF-8"),
    _file("two documents", f"{POLICY}---\nversion: 1\n", "policy.yaml:"),
    _file("a mebibyte of nesting", DEEP, "policy.yaml", "deep"),
    _file("a mebibyte of text", "# x\n" * 400_000, "policy.yaml: is longer than"),
    _file("a billion laughs", LAUGHS, "policy.yaml:1"),
    _added("an alias", "report: &a {}\nmore: *a\n", "policy.yaml:"),
    _added("a merge key", "<<: {risk: {z: 1}}\n", "policy.yaml:"),
    _added("a Python object", "risk: !!python/object/apply:os.system [id]\n", "policy.yaml:"),
    _added("a tag", "risk: !risk {z: 1}\n", "policy.yaml:"),
    _added("a key twice", "risk: {z: 1}\nrisk: {z: 2}\n", "the key 'risk' stands twice"),
    _added("an unknown section", "guardrails: []\n", "guardrails: unknown key"),
    _added(
        "an interpolation", "risk: {z: '${oc.env:HOME}'}\n", "risk.z: interpolation (${...}) is not allowed in a policy"
    ),
    _added("a NaN", "risk: {z: .nan}\n", "risk.z"),
    _added("an infinity", "risk: {z: .inf}\n", "risk.z"),
    _added("a number of a thousand digits", f"risk: {{z: {'9' * 1_000}}}\n", "risk.z"),
    _added("a date for a number", "risk: {z: 2026-11-30}\n", "risk.z"),
    _added("a yes for a number", "risk: {z: yes}\n", "risk.z"),
    _added("holdout of everybody", "experiment: {holdout: {share: 100%, salt: a}}\n", "share: must be below 1"),
    _rule("kind", "kind: volumes, max: 1", ".kind: "),
    _rule("kind", "max: 1", ".kind: is missing"),
    _rule("volume", "kind: volume, maximum: 1", ".maximum: unknown key; did you mean 'max'?"),
    _rule("volume", "kind: volume", ": has neither min nor max"),
    _rule("volume", "kind: volume, min: 9, max: 3", ".min: the minimum 9 is above the maximum 3"),
    _rule("volume", "kind: volume, max: -1", ".max"),
    _rule("volume", "kind: volume, max: 1500000000000000000000", ".max"),
    _rule("volume", "kind: volume, max: many", ".max"),
    _rule("volume", "kind: volume, where: {surfaces: push}, max: 3", ".where"),
    _rule("volume", "kind: volume, where: {surface: pusch}, max: 3", ".where"),
    _rule("volume", "kind: volume, users: {market: XX}, max: 3", ".users"),
    _rule("volume", "kind: volume, users: {surface: push}, max: 3", ".users"),
    _rule("volume", "kind: volume, metric: subs, max: 3", ".metric"),
    _rule("total", "kind: total, max: 3", "."),
    _rule(
        "total", "kind: total, metric: sub, max: 3", ".metric: the scores have no metric 'sub'; did you mean 'subs'?"
    ),
    _rule("total", "kind: total, metric: subs, times: family, max: 3", ".times"),
    _rule("total", "kind: total, metric: subs, max: 5%", ".max"),
    _rule("share", "kind: share, where: {family: plan}, min: 55", ".min"),
    _rule("share", "kind: share, of: {family: plan}, min: 50, max: 2", "."),
    _rule("average", "kind: average, max: 0.1", ".metric: is missing"),
    _rule("ratio", "kind: ratio, metric: subs, min: 2", ".per: is missing"),
    _rule("ratio", "kind: ratio, metric: subs, per: revenue, min: 2", ".per"),
    _rule("reach", "kind: reach, users: {market: NO}, min: 8000%", ".min"),
    _rule("churn", "kind: churn, max: 30", ".max"),
    _rule("change", "kind: change, where: {surface: push}, min: -1", ".min"),
    _rule("strength", "kind: volume, max: 3, strength: soft", ".strength"),
    _rule("strength", "kind: volume, max: 3, strength: {soft: -1}", ".strength"),
    _rule("dates", "kind: volume, max: 3, valid_from: tomorrow", ".valid_from"),
    _rule("dates", "kind: volume, max: 3, valid_from: 2026-12-01, valid_to: 2026-11-01", "."),
    Bad("policies", "a folder", _no_file("folder"), CHECK, ("policy.yaml: cannot be read (Is a directory)",)),
    Bad("policies", "gone", _no_file(""), CHECK, ("policy.yaml", "no such file")),
    Bad("policies", "a link to itself", _no_file("link"), CHECK, ("policy.yaml", "symbolic links")),
    Bad("policies", "gone, to allocate", _no_file(""), ALLOCATE, ("policy.yaml", "no such file")),
    Bad(
        "policies",
        "rules that contradict",
        content(FILE, POLICY.replace("min: 1%", "min: 100%").replace("{id: total, max: 2}", "{id: total, max: 0}")),
        ("what_if", "scores=scores", f"policy={FILE}", "set.push_cap.max=1%"),
        ("The constraints contradict each other", "books (at least 30)"),
        status=3,
    ),
]

OVERRIDES = [
    _word("a rule that is not there", "set.push_cop.max=3", "push_cop", "did you mean 'push_cap'?"),
    _word("a field that is not there", "set.push_cap.maximum=3", "maximum", "did you mean 'max'?"),
    _word("a bound of words", "set.push_cap.max=many", "push_cap.max"),
    _word("a bound below 0", "set.push_cap.max=-1", "push_cap.max"),
    _word("a bound that is no number", "set.push_cap.max=nan", "push_cap.max"),
    _word("min above max", "set.push_cap.min=99%", "push_cap"),
    _word("a whole rule", "set.push_cap=3", "is not of the form set.ID.FIELD=VALUE"),
    _word("everything", "set=null", "is not of the form set.ID.FIELD=VALUE"),
    _word("one row of a rule", "set.push_cap@SE.max=3", "is one row of the rule"),
    _word("no value", "set.push_cap.max=", "push_cap.max"),
    _word("a secret", "set.push_cap.label=${oc.env:HOME}", "${oc.env:HOME} is not available"),
    _word("two values", "set.push_cap.max=3|set.push_cap.max=4", "set.push_cap.max: is given 2 values"),
    _word("a line break", "set.push_cap.max=3\n4", "push_cap.max"),
    _word("two at a time", "set.push_cap.max=1,2", "push_cap.max"),
    _word("a rule by a strange name", "set.p\u00fcsch.max=3", "p\u00fcsch"),
    _at_once("a rule that is not there", "set.push_cop.max=3", "push_cop", "did you mean 'push_cap'?"),
    _at_once("a bound of words", "set.push_cap.max=many", "push_cap.max"),
    _at_once("an unknown key", "scors=x", "there is no key 'scors'; did you mean 'scores'?"),
    _at_once("no value", "catalogue=", "names no path"),
    _at_once("no key", "=x", "is not of the form key=value"),
    _at_once("neither yes nor no", "json=maybe", "is true or false"),
    _at_once("a flag", "--config-dir=x", "--config-dir"),
    _at_once("an interpolation", "set.push_cap.max=${oc.env:HOME}", "push_cap.max: '${oc.env:HOME}'"),
    _at_once("two values", "policy=other.yaml", "policy: is given 2 values"),
]
