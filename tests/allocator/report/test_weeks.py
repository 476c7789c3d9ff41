"""Last week beside this week: figures are those of both weeks' files, and no difference is told that errors could explain."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from allocator.policy.grammar import Policy
from allocator.report import weeks
from allocator.report.collect import Report, Sources, collect
from allocator.report.last_week import EarlierFolders
from allocator.report.page import weeks_of
from allocator.report.weeks import FigureWords, WeekChange, WeekFigure, WeekRow, Weeks
from tests.allocator.report.test_report import EVIL, read
from tests.allocator.reporting import Run, constraint, write_run

MINUS = "\u2212"
PLAIN = FigureWords(str, str)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Run, Run, Sources]]:
    """Last week, this week, and this week's sources, which know of last week's."""
    before, now = write_run(tmp_path / "2026-W47", 50, seed=1), write_run(tmp_path / "2026-W48", seed=2)
    before.edit_certificate(as_of="2026-11-16")
    folders = EarlierFolders(before.sources.allocation, "2026-W47", before.sources.scores / "catalogue.json")
    yield before, now, replace(now.sources, previous=folders)


def told(sources: Sources) -> Weeks:
    return weeks_of(collect(sources))


def row(rows: tuple[WeekRow, ...], name: str) -> WeekRow:
    (found,) = (each for each in rows if each.name == name)
    return found


@pytest.mark.parametrize(
    ("before", "now", "is_told"),
    [
        (WeekFigure(100.0, 3.0), WeekFigure(108.3, 3.0), False),  # 1.96 * sqrt(18) is 8.316
        (WeekFigure(100.0, 3.0), WeekFigure(108.4, 3.0), True),
        (WeekFigure(108.4, 3.0), WeekFigure(100.0, 3.0), True),
        (WeekFigure(100.0, 3.0, 1.0), WeekFigure(109.3, 3.0, 0.5), False),  # the larger gap is left open
        (WeekFigure(100.0, 3.0, 1.0), WeekFigure(109.4, 3.0, 0.5), True),
        (WeekFigure(100.0), WeekFigure(101.0), True),
        (WeekFigure(100.0), WeekFigure(100.0), False),
        (WeekFigure(100.0, None), WeekFigure(900.0, 1.0), False),
    ],
)
def test_a_difference_is_told_beyond_both_errors_and_the_gap(
    before: WeekFigure, now: WeekFigure, *, is_told: bool
) -> None:
    found = weeks.compared("Value", "EUR", WeekChange(before, now), PLAIN)
    assert bool(found.sentence) == is_told
    assert found.verdict in ({"more", "less"} if is_told else {weeks.UNTOLD, "no change", weeks.NOT_JUDGED})


@pytest.mark.parametrize(
    ("before", "now", "part"),
    [(4.0, 5.0, "+25.0 %"), (-4.0, -5.0, f"{MINUS}25.0 %"), (-4.0, 5.0, ""), (0.0, 5.0, "")],
)
def test_a_percentage_is_of_what_was_there(before: float, now: float, part: str) -> None:
    assert weeks.compared("Value", "EUR", WeekChange(WeekFigure(before), WeekFigure(now)), PLAIN).percent == part


def test_figures_are_those_of_both_certificates(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    old, new = before.certificate(), now.certificate()
    before.edit_certificate(value_se=0.001 * old["value"])
    now.edit_certificate(value_se=0.001 * new["value"])
    found = told(sources)
    value = row(found.figures, "Value promised")
    part = 100 * (new["value"] - old["value"]) / old["value"]
    assert (value.before, value.now) == (f"{old['value']:,.2f}", f"{new['value']:,.2f}")
    assert value.percent == f"{'+' if part > 0 else MINUS}{abs(part):,.1f} %" and abs(part) > 1
    assert value.sentence in found.sentences
    contacts = row(found.figures, "Contacts")
    more = len(now.chosen) - len(before.chosen)
    assert (contacts.before, contacts.now) == (str(len(before.chosen)), str(len(now.chosen)))
    assert contacts.difference.startswith(f"{'+' if more > 0 else MINUS}{abs(more)} contact")
    reached = row(found.figures, "Users reached")
    assert reached.before == str(len({user for user, _ in before.chosen}))
    assert reached.now == str(len({user for user, _ in now.chosen}))
    opt_outs = row(found.figures, "Opt out")
    assert float(opt_outs.before) == pytest.approx(old["metrics"]["opt_out"]["total"], rel=1e-2)
    assert float(opt_outs.now) == pytest.approx(new["metrics"]["opt_out"]["total"], rel=1e-2)
    assert {each.name for each in found.figures} >= {"Subs", "Mau", "Revenue"}


def test_a_difference_within_the_errors_is_called_so_on_the_page(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    for run in (before, now):
        totals = {name: {**metric, "se": metric["total"]} for name, metric in run.certificate()["metrics"].items()}
        run.edit_certificate(value_se=run.certificate()["value"], metrics=totals)
    found = told(sources)
    value = row(found.figures, "Value promised")
    assert (value.verdict, value.sentence) == ("no difference that can be told", "")
    assert (
        f"{value.now} EUR this week, {value.before} EUR last week; no difference that can be told."
        in found.sentences[0]
    )
    assert "No difference that can be told in: Subs, Mau, Revenue, Opt out." in found.sentences
    text = read(sources).text
    assert f"Value promised EUR {value.before} {value.now} {value.difference} {value.percent} {value.verdict}" in text


def test_values_of_other_objectives_are_not_compared(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    before.edit_certificate(objective=[{"metric": "revenue", "weight": 2.0, "times": None}])
    assert row(told(sources).figures, "Value promised").verdict == "not compared: the objectives differ"
    before.edit_certificate(objective=now.certificate()["objective"], risk_z=1.0)
    assert row(told(sources).figures, "Value promised").difference == ""


def test_without_errors_of_the_scores_nothing_is_claimed(both: tuple[Run, Run, Sources]) -> None:
    found = told(both[2])
    assert row(found.figures, "Value promised").verdict == weeks.NOT_JUDGED
    assert row(found.figures, "Contacts").verdict in ("more", "fewer", "no change"), "what is counted has no error"


def test_constraints_of_both_weeks_with_their_bounds(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    estimate = {"kind": "total", "unit": "EUR", "max": 80.0, "binding": None, "price": 0.0}
    share = {"kind": "share", "unit": "share of contacts", "denominator": 9.0}
    before.edit_certificate(
        constraints=[
            constraint(max=800.0, achieved=790.0),
            constraint(**estimate, id="budget", label="Budget", achieved=70.0, se=5.0),
            constraint(**share, id="plans", label="Plans", max=0.5, achieved=0.4),
            constraint(id="gone", label="Gone"),
            constraint(id="other", label="Other", kind="reach", unit="users"),
        ]
    )
    now.edit_certificate(
        constraints=[
            constraint(max=600.0, achieved=590.0),
            constraint(**estimate, id="budget", label="Budget", achieved=79.0, se=5.0),
            constraint(**share, id="plans", label="Plans", max=0.5, achieved=0.45),
            constraint(id="fresh", label="Fresh"),
            constraint(id="other", label="Other"),
        ]
    )
    found = told(sources)
    push = row(found.constraints, "Push capacity")
    assert (push.before, push.now) == ("790 (at most 800)", "590 (at most 600)")
    assert (push.difference, push.percent, push.verdict) == (f"{MINUS}200 contacts", f"{MINUS}25.3 %", "fewer")
    assert push.sentence == (
        "Push capacity: at most 600 contacts this week, at most 800 last week. "
        f"Push capacity: 200 contacts fewer than last week ({MINUS}25.3 %)."
    )
    assert push.sentence in found.sentences
    budget = row(found.constraints, "Budget")
    assert (budget.difference, budget.verdict, budget.sentence) == ("+9 EUR", weeks.UNTOLD, "")
    plans = row(found.constraints, "Plans")
    assert (plans.difference, plans.percent) == ("+5 percentage points", "+12.5 %")
    assert row(found.constraints, "Fresh").verdict == "new this week"
    assert row(found.constraints, "Gone").verdict == "not in this week's policy"
    assert row(found.constraints, "Other").verdict == "not compared: another rule had this id"


def counted(run: Run) -> Counter[tuple[str, str]]:
    """Contacts by product and surface, read off the files."""
    actions = {each["id"]: each for each in json.loads((run.sources.scores / "catalogue.json").read_text())["actions"]}
    rows = pd.read_parquet(run.sources.allocation / "part-00000.parquet")["action"]
    return Counter((actions[name]["product"], actions[name]["surface"]) for name in rows)


def test_contacts_by_offer_and_surface_add_up_in_both_weeks(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    placed = told(sources).placed
    assert placed is not None and placed.rows[-1].name == "All"
    cells = {
        (each.name, surface): (cell.now, cell.before)
        for each in placed.rows[:-1]
        for surface, cell in zip(placed.columns, each.cells, strict=True)
        if cell.now or cell.before
    }
    old, new = counted(before), counted(now)
    assert cells == {place: (new[place], old[place]) for place in {*old, *new}}
    assert (placed.rows[-1].total.now, placed.rows[-1].total.before) == (len(now.chosen), len(before.chosen))


def test_offers_that_are_gone_go_by_last_weeks_catalogue(both: tuple[Run, Run, Sources], tmp_path: Path) -> None:
    before, _, sources = both
    part = before.sources.allocation / "part-00000.parquet"
    rows = pd.read_parquet(part)
    rows["action"] = "home_1/vinyl/trial"
    rows.to_parquet(part)
    held = json.loads((before.sources.scores / "catalogue.json").read_text())
    held["actions"][0] |= {"id": "home_1/vinyl/trial", "product": "vinyl", "surface": "home"}
    (before.sources.scores / "catalogue.json").write_text(json.dumps(held))
    placed = told(sources).placed
    assert placed is not None
    vinyl = next(each for each in placed.rows if each.name == "vinyl")
    assert (vinyl.total.now, vinyl.total.before) == (0, len(rows))
    without = replace(sources, previous=EarlierFolders(before.sources.allocation, "2026-W47", tmp_path / "none.json"))
    placed = told(without).placed
    assert placed is not None
    assert next(each for each in placed.rows if each.name == weeks.GONE).total.before == len(rows)


def test_edits_of_the_policy_since_last_week_stand_in_words(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    words = {"objective": [{"metric": "revenue", "weight": 1.0}]}
    for run, most in ((before, "20%"), (now, "15%")):
        rule = {"id": "push", "kind": "volume", "where": {"surface": "push"}, "max": most}
        policy = Policy.model_validate({**words, "constraints": [rule]})
        (run.sources.allocation / "policy.json").write_text(json.dumps(policy.to_json()))
        run.edit_certificate(policy_digest=policy.digest)
    said = "The maximum of push falls from 20 % to 15 % of all users."
    assert told(sources).edits == (said,)
    assert f"Edits of the policy since then {said}" in read(sources).text


def test_a_run_without_a_week_before_it_says_so_in_one_line(both: tuple[Run, Run, Sources]) -> None:
    said = "This run knows of no allocation before it, so nothing is set beside this week."
    assert told(replace(both[2], previous=None)) == Weeks(said)
    assert f"What changed since last week {said} What binds" in read(replace(both[2], previous=None)).text


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def no_json(folder: Path) -> None:
    (folder / "certificate.json").write_text("{")


def a_list(folder: Path) -> None:
    (folder / "certificate.json").write_text("[1]")


def no_file(folder: Path) -> None:
    (folder / "certificate.json").unlink()


@pytest.mark.parametrize("damage", [gone, no_json, a_list, no_file])
def test_a_week_that_cannot_be_read_ends_no_report(both: tuple[Run, Run, Sources], damage) -> None:
    before, _, sources = both
    damage(before.sources.allocation)
    found = told(sources)
    assert found.figures == () and found.placed is None
    (missing,) = found.missing
    assert missing.startswith("The certificate of 2026-W47, the week before, ")
    assert missing in read(sources).text


@pytest.mark.parametrize("name", ["value", "contacts", "funnel", "metrics", "constraints", "users", "gap", "objective"])
@pytest.mark.parametrize("held", ["missing", "nothing", "text"])
def test_a_figure_that_last_week_lacks_is_passed_over(both: tuple[Run, Run, Sources], name: str, held: str) -> None:
    before, _, sources = both
    content = before.certificate()
    content.pop(name)
    if held != "missing":
        content[name] = None if held == "nothing" else "many"
    (before.sources.allocation / "certificate.json").write_text(json.dumps(content))
    found = told(sources)
    figure = {
        "value": "Value promised",
        "contacts": "Contacts",
        "funnel": "Users reached",
        "users": "Users in the scores",
    }
    if name in figure:
        assert row(found.figures, figure[name]).verdict == "last week does not tell it"
    if name == "metrics":
        assert row(found.figures, "Subs").verdict == "last week does not tell it"
    if name == "constraints":
        assert found.constraints == ()
    assert row(found.figures, "Contacts").now == str(len(both[1].chosen))


def no_rows(folder: Path) -> None:
    (folder / "part-00000.parquet").unlink()


def cut_rows(folder: Path) -> None:
    part = folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:400])


def other_rows(folder: Path) -> None:
    pd.DataFrame({"action": [1, 2]}).to_parquet(folder / "part-00000.parquet")


@pytest.mark.parametrize("damage", [no_rows, cut_rows, other_rows])
def test_rows_that_cannot_be_read_leave_the_figures(both: tuple[Run, Run, Sources], damage) -> None:
    before, _, sources = both
    damage(before.sources.allocation)
    (before.sources.allocation / "policy.json").write_text("[")
    found = told(sources)
    assert found.placed is None and found.edits == ()
    assert row(found.figures, "Contacts").before == str(len(before.chosen))
    assert found.missing == ("The contacts of 2026-W47 cannot be read any more, so they are not counted by offer.",)


def test_no_user_of_last_week_is_on_the_page(both: tuple[Run, Run, Sources]) -> None:
    before, _, sources = both
    report: Report = collect(sources)
    assert report.last_week is not None
    text = read(sources).text
    assert not any(user in text for user in before.user_ids)


def test_sums_of_known_attributes_are_told_and_estimates_without_errors_are_not(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    total = {"kind": "total", "unit": "EUR", "max": 80.0, "binding": None, "price": 0.0}
    for run, spent in ((before, 70.0), (now, 79.0)):
        run.edit_certificate(
            constraints=[
                constraint(**total, id="postage", label="Postage", achieved=spent),
                constraint(**total, id="budget", label="Budget", achieved=spent),
            ]
        )
    rules = [
        {"id": "postage", "kind": "total", "times": "cost_eur", "max": 80},
        {"id": "budget", "kind": "total", "metric": "revenue", "max": 80},
    ]
    policy = Policy.model_validate({"objective": [{"metric": "revenue", "weight": 1.0}], "constraints": rules})
    (now.sources.allocation / "policy.json").write_text(json.dumps(policy.to_json()))
    found = told(sources)
    assert row(found.constraints, "Postage").sentence == "Postage: 9 EUR more than last week (+12.9 %)."
    assert row(found.constraints, "Budget").verdict == weeks.NOT_JUDGED
    assert row(found.constraints, "Budget").sentence == ""


def test_last_weeks_contacts_go_by_what_the_offer_was_then(both: tuple[Run, Run, Sources]) -> None:
    before, now, sources = both
    head = now.sources.scores / "catalogue.json"
    held = json.loads(head.read_text())
    for action in held["actions"]:
        action["product"] = {"tickets": "concerts"}.get(action["product"], action["product"])
    head.write_text(json.dumps(held))
    placed = told(sources).placed
    assert placed is not None
    totals = {each.name: (each.total.now, each.total.before) for each in placed.rows}
    then = sum(count for (product, _), count in counted(before).items() if product == "tickets")
    assert then > 0 and totals["tickets"] == (0, then) and totals["concerts"][1] == 0


def test_names_of_last_week_and_of_rules_are_shown_and_never_run(
    both: tuple[Run, Run, Sources], tmp_path: Path
) -> None:
    before, now, sources = both
    before.edit_certificate(constraints=[constraint(label=EVIL, unit=EVIL)], as_of=EVIL)
    rule = {
        "id": "push",
        "label": EVIL,
        "owner": EVIL,
        "reason": EVIL,
        "kind": "volume",
        "where": {"surface": EVIL},
        "max": 1,
    }
    policy = Policy.model_validate({"objective": [{"metric": "revenue", "weight": 1.0}], "constraints": [rule]})
    (now.sources.allocation / "policy.json").write_text(json.dumps(policy.to_json()))
    (tmp_path / "winter.yaml").write_text(f"# {EVIL}\nversion: 1\n")
    assert sources.previous is not None
    named = replace(
        sources, previous=replace(sources.previous, name=EVIL), policy_file=tmp_path / "winter.yaml", run=EVIL
    )
    found = read(named)
    assert [tag for tag, _ in found.elements].count("script") == 3
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in found.elements)
    assert found.text.count(EVIL) > 8
