"""Allocations, runs and pointers that were edited, and questions of them that have no answer."""

import os
from pathlib import Path

from tests.properties.bad_inputs.case import LISTENER, Bad, Spoil, content, edited, gone, in_place_of, nothing
from tests.properties.bad_inputs.policies import POLICY

RUN = "runs/W1"
CERTIFICATE, PRICES, MANIFEST = (f"{RUN}/allocation/{name}.json" for name in ("certificate", "prices", "manifest"))
ROWS = f"{RUN}/allocation/part-00000.parquet"
PUBLISH = ("publish", f"run={RUN}", "runs=runs")
EXPLAIN = ("explain", f"allocation={RUN}/allocation", f"user={LISTENER}3")
ASKED = (f"scores={RUN}/scores", "policy=policy.yaml")
REFUSED = 4


def _refused(name: str, spoil: Spoil, *told: str) -> Bad:
    """What is finished and was edited since is no mistake of the call: publishing refuses it."""
    return Bad("runs", name, spoil, PUBLISH, told, REFUSED)


def _run(name: str, spoil: Spoil, call: tuple[str, ...], *told: str, status: int = 2) -> Bad:
    return Bad("runs", name, spoil, call, told, status)


def _question(name: str, call: tuple[str, ...], *told: str) -> Bad:
    return Bad("questions", name, nothing, call, told)


def _cut(file: str) -> Spoil:
    def spoil(folder: Path) -> None:
        os.truncate(folder / file, (folder / file).stat().st_size - 20)

    return spoil


RUNS = [
    _refused("a certificate edited", edited(CERTIFICATE, '"status"', '"state"'), "certificate"),
    _refused("a better gap", edited(CERTIFICATE, '"gap": ', '"gap": 0.0, "was": '), "certificate"),
    _refused("rows cut short", _cut(ROWS), "part-00000.parquet"),
    _refused("a manifest that is none", content(MANIFEST, "{"), "manifest"),
    _refused("a manifest gone", in_place_of(MANIFEST, gone), "manifest"),
    _refused("an audit gone", in_place_of(f"{RUN}/allocation/audit.json", gone), "audit"),
    _run("a run that is not there", nothing, ("publish", "run=runs/W9", "runs=runs"), "W9"),
    _run("a run that is a file", nothing, ("publish", "run=policy.yaml", "runs=runs"), "policy.yaml"),
    _run("back to nothing", nothing, ("rollback", "to=W9", "runs=runs"), "W9"),
    _run("a pointer that is none", content("runs/published.json", "{"), PUBLISH, "published.json"),
    _run("a pointer of another kind", content("runs/published.json", '{"run": 3}'), PUBLISH, "published.json"),
    _run("a certificate that is none", content(CERTIFICATE, "{"), EXPLAIN, f"{CERTIFICATE}: is not valid JSON"),
    _run("a certificate of a list", content(CERTIFICATE, "[]"), EXPLAIN, f"{CERTIFICATE}: must hold one JSON object"),
    _run("prices that are none", content(PRICES, "null"), EXPLAIN, PRICES),
    _run("prices of words", edited(PRICES, '"multiplier": ', '"multiplier": "much", "was": '), EXPLAIN, PRICES),
    _run("contacts cut short", _cut(ROWS), EXPLAIN, "part-00000.parquet", "is not a readable Parquet file"),
    _run("no allocation", nothing, ("explain", "allocation=scores", "user=3"), "scores"),
    _run("a report of nothing", nothing, ("report", "run=runs/W9"), "W9"),
    _run("exposures of nothing", nothing, ("exposures", "allocation=scores", "out=made"), "scores"),
    _run(
        "a readout of no tables",
        nothing,
        ("readout", f"allocation={RUN}/allocation", "tables=none", "out=made"),
        "none",
    ),
]

QUESTIONS = [
    _question("a listener who is none", (*EXPLAIN[:2], "user=nobody"), "user"),
    _question("no listener", EXPLAIN[:2], "user: give user=ID for one listener, or product=NAME"),
    _question("a listener and a product", (*EXPLAIN, "product=duo"), "one of them"),
    _question("a product that is none", (*EXPLAIN[:2], "product=hat"), "product", "hat"),
    _question("a goal of nothing", ("seek", *ASKED), "want"),
    _question("a goal without an amount", ("seek", *ASKED, "want=revenue", "by=push_cap.max"), "want"),
    _question("a goal of words", ("seek", *ASKED, "want=revenue=much", "by=push_cap.max"), "want"),
    _question("a goal nobody knows", ("seek", *ASKED, "want=revenu=5", "by=push_cap.max"), "revenu"),
    _question("by a rule that is none", ("seek", *ASKED, "want=revenue=5", "by=push_cop.max"), "push_cop"),
    _question("by a field that is none", ("seek", *ASKED, "want=revenue=5", "by=push_cap.most"), "most"),
    _question("the least of nothing", ("seek", *ASKED, "least=hats"), "hats"),
    _question("a trade-off of nothing", ("frontier", *ASKED), "x: is missing", "y: is missing"),
    _question("a trade-off of hats", ("frontier", *ASKED, "x=hats", "y=value"), "hats"),
    _question(
        "a trade-off of one point", ("frontier", *ASKED, "x=contacts", "y=value", "points=1"), "ask.points: is 1"
    ),
    _question("a sample of nobody", ("what_if", *ASKED, "sample=0"), "ask.sample: is 0"),
    _question("a sample of some", ("what_if", *ASKED, "sample=some"), "ask.sample: is 'some'"),
    _question("a base that is not there", ("what_if", *ASKED, "base=none.yaml"), "none.yaml"),
    Bad(
        "questions",
        "a week before that is none",
        content("policy.yaml", f"{POLICY}  - {{id: calm, kind: churn, max: 30%}}\n"),
        ("what_if", *ASKED, "previous=scores"),
        ("scores",),
    ),
    _question("scores that are none", ("what_if", "scores=tables", "policy=policy.yaml"), "tables"),
    _question("no words for a policy", ("policy_schema", "out=made.json", "catalogue=policy.yaml"), "policy.yaml"),
    _question("nothing to compare", ("diff_policy", "policy=policy.yaml"), "base: is missing"),
]
