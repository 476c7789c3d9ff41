"""The report as a page: its numbers are those of the sources, it loads nothing, it escapes every name, and it bears empty runs."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest

from allocator.policy.grammar import Policy
from allocator.report import charts
from allocator.report.collect import Sources, collect
from allocator.report.page import render, write_report
from ranker.scores import InputError
from scripts import report as report_command
from tests.allocator.reporting import METRICS, PRODUCTS, Run, constraint, every_constraint, write_run


class Reader(HTMLParser):
    """What a browser would see: elements with attributes, scripts, and the text apart from scripts and styles."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self._texts: list[str] = []
        self._inside = ""
        self.feed(page)
        self.text = " ".join(" ".join(self._texts).replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag
            if tag == "script":
                self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self._inside:
            self._texts.append(data)

    @property
    def figures(self) -> dict:
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == "figures"))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run) -> str:
    return render(collect(run.sources))


@pytest.fixture(scope="module")
def seen(page) -> Reader:
    return Reader(page)


def read(sources: Sources) -> Reader:
    """The page without the megabyte of plotly.js, which one rendering in this file tests."""
    with patch("allocator.report.page.plotly_script", lambda: "/* plotly.js */"):
        return Reader(render(collect(sources)))


def test_the_sections_stand_in_the_order_in_which_people_ask(seen):
    headings = [attributes["id"] for tag, attributes in seen.elements if tag == "section"]
    assert headings == [*("promised", "weeks", "constraints", "left-out", "rules", "allocated", "science", "words")]


def test_the_headline_numbers_are_those_of_the_sources(run, seen):
    certificate = run.certificate()
    reached = len({user for user, _ in run.chosen})
    assert f"this allocation adds {certificate['value']:,.2f} EUR" in seen.text
    assert "it is at most 0.0024 % below the best possible; that is proven of the optimiser" in seen.text
    assert f"Users reached {reached} of {len(run.user_ids)}" in seen.text
    assert f"Contacts {len(run.chosen)} " in seen.text
    assert "Audit clean 3 of 3 checks passed" in seen.text
    assert "Week of 2026-11-23 · policy default" in seen.text


def test_the_heatmaps_count_every_contact(run, seen):
    actions = [f"{a['product']} {a['surface']}" for a in collect(run.sources).catalogue.actions]
    expected = Counter(actions[action] for _, action in run.chosen)
    figure = seen.figures["by-surface"][0]["figure"]["data"][0]
    shown = {
        f"{product} {surface}": count
        for product, row in zip(figure["y"], figure["z"], strict=True)
        for surface, count in zip(figure["x"], row, strict=True)
        if count
    }
    assert shown == dict(expected)
    assert set(figure["y"]) == set(PRODUCTS)


def test_every_segment_adds_up_to_all_contacts(run, seen):
    variants = {variant["label"]: variant["figure"]["data"][0] for variant in seen.figures["by-segment"]}
    assert next(iter(variants)) == "market: contacts", "market comes first"
    for name in ("market", "lifecycle"):
        assert np.sum(variants[f"{name}: contacts"]["z"]) == len(run.chosen)
        assert np.sum(variants[f"{name}: value (EUR)"]["z"]) == pytest.approx(run.certificate()["value"])


def test_contacts_per_hundred_users_divide_by_the_users_of_the_segment(run):
    grid = collect(run.sources).placements.by_segment["market"]
    assert grid.column_users.sum() == len(run.user_ids)


def test_bars_by_message_add_up(run):
    assert sum(collect(run.sources).placements.bars.values()) == len(run.chosen)


def test_many_shards_count_like_one(run, monkeypatch):
    whole = collect(run.sources)
    monkeypatch.setattr("allocator.report.collect.ROWS_PER_SHARD", 7)
    pieces = collect(run.sources)
    assert pieces.reached == whole.reached
    assert pieces.unreached == whole.unreached
    np.testing.assert_array_equal(pieces.placements.by_column.contacts, whole.placements.by_column.contacts)
    np.testing.assert_array_equal(
        pieces.placements.by_segment["market"].contacts, whole.placements.by_segment["market"].contacts
    )


def test_every_constraint_has_its_sentence_its_scale_and_its_row(seen):
    for record in every_constraint():
        assert any(attributes.get("id") == f"constraint-{record['id']}" for _, attributes in seen.elements)
    assert "One more contact would be worth at most about 0.19 EUR" in seen.text
    assert "Lowering the floor by one percentage point would gain about 1,820 EUR" in seen.text
    assert "Messaging Send window" in seen.text
    scales = [a for tag, a in seen.elements if tag == "div" and a.get("class") == "scale"]
    assert len(scales) == len(every_constraint())


def test_room_is_ranked_by_worth(seen):
    bars = seen.figures["room"][0]["figure"]["data"][0]
    assert bars["x"] == sorted(bars["x"], reverse=True)
    assert bars["y"][0] == "Discount budget"


def test_the_funnel_and_the_reasons_add_up(run, seen):
    report = collect(run.sources)
    stages = run.certificate()["funnel"]
    for stage in stages:
        assert f"{stage['contacts']:,}" in seen.text
    assert report.unreached.users + report.reached == len(run.user_ids)
    assert report.unreached.nothing_eligible == 1
    assert report.unreached.nothing_worthwhile >= 1
    assert "No action is eligible for them. 1 " in seen.text


def test_without_a_funnel_the_scores_tell_it(tmp_path):
    made = write_run(tmp_path)
    made.edit_certificate(funnel=[])
    report = collect(made.sources)
    assert [stage.stage for stage in report.funnel] == ["candidates", "eligible", "worth showing", "allocated"]
    assert report.funnel[-1].contacts == len(made.chosen)
    assert (
        "Nothing that they may see is worth showing: it would cost more than it brings. 1 " in read(made.sources).text
    )


def test_users_who_drew_nothing_at_random_are_counted_apart(tmp_path):
    made = write_run(tmp_path)
    stages = made.certificate()["funnel"]
    lost = stages[-2]["users"] - stages[-1]["users"]
    assert f"or a constraint keeps it away. {lost} " in read(made.sources).text
    made.edit_certificate(drew_nothing=1)
    text = read(made.sources).text
    assert "the random draw gave them nothing; the next model learns from it. 1 " in text
    assert f"or a constraint keeps it away. {lost - 1} " in text


def test_metric_totals_carry_their_units(run, seen):
    for metric in METRICS:
        assert f"{metric.name.replace('_', ' ')} " in seen.text
        assert metric.unit in seen.text
    assert f"{run.certificate()['metrics']['mau']['total']:.2f} active users" in seen.text


def test_model_quality_stands_next_to_its_baselines(seen):
    policies = seen.figures["policies"]
    assert policies[0]["label"] == "objective, doubly robust"
    names = {name for trace in policies[0]["figure"]["data"] for name in trace["y"]}
    assert {"valuenet", "ridge T-learner", "best fixed action", "random"} <= names
    assert [trace["name"] for trace in seen.figures["qini"][0]["figure"]["data"]] == ["valuenet", "ridge T-learner"]
    assert "the learned policy beats the best fixed action by 0.006" in seen.text


def test_predicted_and_realised_stand_side_by_side_in_ten_groups(seen):
    """Although one action has a single group of its own."""
    for variant in seen.figures["deciles"]:
        (points,) = (trace for trace in variant["figure"]["data"] if "error_y" in trace)
        assert points["x"] == pytest.approx([0.0007 * tenth for tenth in range(10)])
        assert points["y"] == pytest.approx([0.0006 * tenth for tenth in range(10)])


def test_the_slope_shown_is_what_is_left_on_held_out_users(run, seen):
    told = json.loads((run.sources.model / "evaluation.json").read_text())["calibration"]
    for variant in seen.figures["slopes"]:
        left = {row["action"]: row["held_out"]["value"] for row in told if row["outcome"] == variant["label"]}
        trace = variant["figure"]["data"][0]
        assert dict(zip(trace["text"], trace["x"], strict=True)) == pytest.approx(
            {name: left[name] for name in trace["text"]}
        )
    assert "Correction applied Calibration slope left" in seen.text


def test_the_truth_is_shown_where_it_is_known(run, tmp_path):
    table = [
        {"policy": "oracle", "value": 10.0, "share_of_oracle": 1.0},
        {"policy": "learned", "value": 8.5, "share_of_oracle": 0.85},
    ]
    (tmp_path / "regret.json").write_text(json.dumps(table))
    figure = read(replace(run.sources, truth=tmp_path / "regret.json")).figures["truth"][0]["figure"]["data"][0]
    assert figure["y"] == ["oracle", "learned"]
    assert figure["marker"]["color"] == [charts.OTHER, charts.OURS]
    assert figure["text"][1].strip() == "85.0 % (8.50)"


def test_words_of_the_solver_stay_out(seen):
    assert not re.search(r"\b(dual|lagrang\w*|multiplier|lambda|shadow)\b", seen.text, re.IGNORECASE)


def test_no_user_is_on_the_page(run, page):
    assert not any(user in page for user in run.user_ids)


def test_nothing_is_loaded_from_anywhere(seen):
    for tag, attributes in seen.elements:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base", "form"}
        assert "src" not in attributes and "data" not in attributes and "srcset" not in attributes
        assert attributes.get("href", "#").startswith("#")


def test_the_security_policy_names_exactly_the_scripts_of_the_page(seen):
    policy = next(a["content"] for tag, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy and "http" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    running = [text for attributes, text in seen.scripts if attributes.get("type") != "application/json"]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running} == allowed
    assert not any(name.startswith("on") for _, attributes in seen.elements for name in attributes)


def test_the_same_run_gives_the_same_bytes(run, page, tmp_path):
    write_report(run.sources, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" \'</script>'


def test_names_are_shown_and_never_run(tmp_path, page):
    made = write_run(
        tmp_path,
        products=(f"premium_{EVIL}", "tickets"),
        constraints=[constraint(label=EVIL, owner=EVIL, reason=EVIL, id=EVIL), constraint(kind="total", unit=EVIL)],
    )
    made.edit_certificate(status=EVIL, metrics={EVIL: {"total": 1.0, "unit": EVIL}}, seconds={EVIL: 1.0}, as_of=EVIL)
    found = read(replace(made.sources, policy_name=EVIL))
    assert Counter(tag for tag, _ in found.elements)["script"] == 3
    assert not any(tag == "img" for tag, _ in found.elements)
    assert not any(name == "onerror" for _, attributes in found.elements for name in attributes)
    assert EVIL in found.text
    figures = next(text for attributes, text in found.scripts if attributes.get("id") == "figures")
    assert "<" not in figures, "a name could close the script element"
    heatmap = found.figures["by-surface"][0]["figure"]["data"][0]
    assert unescape(heatmap["y"][0]).startswith("premium_<script>alert(1)")


def test_no_constraints(tmp_path):
    found = read(write_run(tmp_path, constraints=[]).sources)
    assert "The policy has no constraints beyond each user's contact rules." in found.text
    assert "No constraint limits this allocation." in found.text
    assert "room" not in found.figures


def test_no_model(tmp_path):
    found = read(write_run(tmp_path, with_model=False).sources)
    assert "No evaluation of the model stands beside these scores" in found.text
    assert not {"policies", "qini", "slopes", "deciles"} & set(found.figures)


def test_an_evaluation_without_deciles_or_policies(tmp_path):
    made = write_run(tmp_path)
    (made.sources.model / "evaluation.json").write_text(
        json.dumps({"rows": {}, "policies": [], "qini": [], "calibration": []})
    )
    assert not {"policies", "qini", "slopes", "deciles"} & set(read(made.sources).figures)


def test_estimates_that_cannot_be_made_and_effects_that_are_not_told_are_said(tmp_path):
    made = write_run(tmp_path)
    file = made.sources.model / "evaluation.json"
    content = json.loads(file.read_text())
    nothing = {"low": None, "high": None, "stderr": None}
    content["policies"][0] |= nothing
    for record in content["policies"]:
        record["difference_to_best_fixed"] |= {"value": None, **nothing}
    content["qini"][0] |= {"qini": None, "stderr": None}
    content["calibration"][0]["held_out"] |= {"value": None, "stderr": None}
    content["calibration_pooled"][1]["deciles"][0] |= {"realised": None, "stderr": None}
    content["slates"] = {"decisions": 1234, "judged": "One contact of each is judged."}
    file.write_text(json.dumps(content))
    head = made.sources.scores / "catalogue.json"
    catalogue = json.loads(head.read_text())
    action = catalogue["actions"][0]["id"]
    head.write_text(json.dumps(catalogue | {"unidentified": [{"action": action, "why": "never at random"}]}))
    found = read(made.sources)
    assert "There is not enough data to judge the learned policy on the objective." in found.text
    assert (
        f"The logs do not tell the effect of {action} (given wherever it was possible, never at random)" in found.text
    )
    assert "1,234 of the decisions showed several contacts. One contact of each is judged." in found.text
    assert {"policies", "qini", "slopes", "deciles"} <= set(found.figures)


def test_zero_contacts(tmp_path):
    made = write_run(tmp_path, users=2, constraints=[constraint(kind="share", min=0.5, max=None, achieved=None, denominator=0.0,
                                                                 slack=None, binding=None, price=0.0, multiplier=0.0)])  # fmt: skip
    made.edit_certificate(gap=None, bound=0.0, greedy=None, metrics={})
    found = read(made.sources)
    assert made.chosen == ()
    assert "Nobody is contacted in this allocation." in found.text
    assert "nothing is allocated in its scope, so it holds" in found.text
    assert "Users reached 0 of 2 (0.0 %) Contacts 0 nobody is contacted" in found.text


def test_without_an_audit_the_page_says_so(tmp_path):
    made = write_run(tmp_path)
    (made.sources.allocation / "audit.json").unlink()
    assert "Audit not run" in read(made.sources).text


def test_an_audit_with_faults_is_told_first(tmp_path):
    made = write_run(tmp_path)
    checks = [{"name": "holdout", "status": "FAIL", "detail": "3 held out users got an offer"}]
    (made.sources.allocation / "audit.json").write_text(json.dumps({"checks": checks}))
    found = read(made.sources)
    assert (
        "The audit found faults. This allocation must not be published. holdout: 3 held out users got an offer"
        in found.text
    )
    assert found.text.index("The audit found faults") < found.text.index("Users reached")


def test_sources_that_disagree_are_told(tmp_path):
    made = write_run(tmp_path)
    made.edit_certificate(contacts=1, users=9, value=5.0)
    text = read(made.sources).text
    assert "The certificate counts 1 contacts" in text
    assert "The certificate counts 9 users" in text
    assert "The certificate's value is 5" in text


def test_a_soft_penalty_is_no_disagreement(tmp_path):
    made = write_run(tmp_path)
    made.edit_certificate(value=made.certificate()["value"] - 0.5, soft_penalty=0.5)
    assert collect(made.sources).warnings == ()


def test_actions_that_are_their_own_slots(tmp_path):
    """A trial's logs without a catalogue: no product, surface or message, yet a page."""
    made = write_run(tmp_path)
    path = made.sources.scores / "catalogue.json"
    catalogue = json.loads(path.read_text())
    catalogue["actions"] = [{"id": a["id"], "slot": a["id"]} for a in catalogue["actions"]]
    path.write_text(json.dumps(catalogue))
    found = read(made.sources)
    assert "by-surface" not in found.figures
    assert "Contacts by action" in found.text


def test_everything_missing_from_the_certificate_is_listed_at_once(tmp_path):
    made = write_run(tmp_path)
    path = made.sources.allocation / "certificate.json"
    content = made.certificate()
    del content["status"], content["constraints"][0]["price"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        collect(made.sources)
    assert [problem.split("certificate.json: ")[1] for problem in caught.value.problems] == [
        "status: Field required",
        "constraints.0.price: Field required",
    ]


@pytest.mark.parametrize("name", ["certificate.json", "part-00000.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    made = write_run(tmp_path)
    (made.sources.allocation / name).unlink()
    with pytest.raises(InputError, match=r"certificate\.json: there is no such file|there are no \*\.parquet files"):
        collect(made.sources)


def test_a_certificate_with_infinity_is_refused(tmp_path):
    made = write_run(tmp_path)
    path = made.sources.allocation / "certificate.json"
    path.write_text(path.read_text().replace('"gap": ', '"gap": Infinity, "was": '))
    with pytest.raises(InputError, match="gap"):
        collect(made.sources)


def test_provenance_names_files_and_not_where_they_lie(tmp_path):
    made = write_run(tmp_path)
    inputs = {"../../somewhere/else/conf/policy/default.yaml": "ab12"}
    (made.sources.allocation / "manifest.json").write_text(json.dumps({"stage": "allocate", "inputs": inputs}))
    found = read(made.sources)
    assert "inputs / default.yaml ab12" in found.text
    assert "somewhere" not in found.text


def test_the_package_lists_the_page_parts():
    """The page is read from files beside the code; each must be there."""
    folder = Path(__file__).parents[3] / "allocator" / "report"
    assert {"template.html.j2", "page.css", "page.js"} <= {file.name for file in folder.iterdir()}


def with_policy(made: Run, **words: object) -> Policy:
    """Puts a policy beside the allocation, as the certificate's own."""
    policy = Policy.model_validate({"objective": [{"metric": "revenue", "weight": 1.0}]} | words)
    (made.sources.allocation / "policy.json").write_text(json.dumps(policy.to_json()))
    made.edit_certificate(policy_digest=policy.digest)
    return policy


def test_what_was_promised_and_who_fell_back_is_told(tmp_path):
    made = write_run(tmp_path)
    with_policy(
        made,
        pinned=[
            {"id": "welcome", "label": "Welcome week", "users": {"lifecycle": "new"}, "action": "home_1/family/trial"},
            {"id": "again", "users": {"market": ["SE", "NO"]}, "action": "home_1/family/trial"},
        ],
        fallback={"action": ["home_1/books", "push_1/duo"], "users": {"not": {"market": "US"}}},
    )
    pinned = [{"action": "home_1/family/trial", "contacts": 1234}]
    made.edit_certificate(pinned=pinned, fallback={"contacts": 812, "value": -3.25, "left_without": 1})
    text = read(made.sources).text
    assert "home_1/family/trial Welcome week, again users with lifecycle new; users with market SE or NO 1,234" in text
    assert (
        "812 users to whom nothing else was given got a fallback contact (users with anything but market US: home_1/books, "
        "else push_1/duo), worth -3.25 EUR in all. 1 user in its scope still got nothing" in text
    )
    made.edit_certificate(fallback={"contacts": 0, "value": 0.0, "left_without": 0})
    assert "Nobody in its scope is left with nothing." in read(made.sources).text
    (made.sources.allocation / "policy.json").unlink()
    text = read(made.sources).text
    assert "home_1/family/trial 1,234" in text, "an allocation of before policies stood beside it"
    assert "The policy does not stand beside this allocation" in text


def test_objectives_in_order_say_what_each_gave_up(tmp_path):
    floor = constraint(
        id="tier 1", kind="tier", label=None, unit="value", min=99.0, max=None, achieved=99.0, binding="min", price=0.4,
        price_range=(90.0, 105.0),
    )  # fmt: skip
    made = write_run(tmp_path, constraints=[floor])
    first = {"id": "tier 1", "objective": [{"metric": "subs", "weight": 1.0}], "give_up": 0.01}
    made.edit_certificate(tiers=[first | {"value": 100.0, "bound": 100.002, "floor": 99.0}])
    text = read(made.sources).text.replace("\u00d7", "x").replace("\u2212", "-")
    assert (
        "1 x subs: alone it reached 100 subscribers, at most 0.002 % below the best possible. The objectives after it may "
        "cost 1 % of that, so 99 subscribers must be left; 99 subscribers are. Giving up another 0.99 subscribers of it, "
        "1 % of what must be left, would gain about 0.396 EUR." in text
    )
    assert "1 x revenue + 12 x subs - 25 x opt_out: maximised within that; it is the value of this page." in text
    assert "Objective 1 (1 x subs): 99 subscribers, at least 99 asked for - binding." in text
    assert "That rate holds at least down to 90 subscribers; below that, it may be less." in text


def test_what_one_user_may_get_stands_in_words(tmp_path):
    made = write_run(tmp_path)
    with_policy(
        made,
        experiment={"holdout": {"share": 0.025, "salt": "a"}, "exploration": {"share": 0.03, "salt": "b"}},
        contact=[
            {"id": "total", "max": 2},
            {"id": "push_month", "label": "Push a month", "max": 4, "where": {"surface": "push"}, "days": 28},
            {"id": "once", "max": 1, "each": "product", "days": 1},
            {"id": "apart", "max": 1, "spoils": 0.8},
            {"id": "calm", "max": 1, "users": {"market": "SE"}},
            {"id": "series", "min": 2, "max": 3, "where": {"surface": "push"}},
            {"id": "later", "requires": {"product": "a"}, "where": {"product": "b"}, "days": 28},
            {"id": "quiet", "max": 0, "where": {"surface_kind": "messaging", "not": {"surface": "email"}}},
        ],
        eligibility=[{"id": "students", "forbid": {"product": ["a", "b"]}, "users": {"lifecycle": "student"}, "owner": "plans"}],
    )  # fmt: skip
    text = read(made.sources).text
    for words in (
        "2.5 % of all users get nothing, to compare with. 3 % get one random contact or nothing",
        "total contact rule At most 2 contacts.",
        "Push a month push_month · contact rule At most 4 contacts with surface push; contacts received in the last 28 days count",
        "once contact rule At most 1 contact, for each product on its own; contacts received in the last day count as well",
        "apart contact rule At most 1 contact, of each two that leave less than 80 % of each other's effect (none do)",
        "calm contact rule Users with market SE: at most 1 contact",
        "series contact rule None or 2 to 3 contacts with surface push",
        "later contact rule Contacts with product b only beside one with product a, or after one received in the last 28 days",
        "quiet contact rule No contacts with surface kind messaging, but not surface email",
        "students eligibility rule Users with lifecycle student never get product a or b.",
    ):
        assert words in text


def test_a_policy_that_is_not_the_certificates_is_told(tmp_path):
    made = write_run(tmp_path)
    with_policy(made)
    assert collect(made.sources).warnings == ()
    made.edit_certificate(policy_digest="another")
    assert len(collect(made.sources).warnings) == 1
    (made.sources.allocation / "policy.json").write_text("[]")
    with pytest.raises(InputError, match=r"policy\.json: is not a policy"):
        collect(made.sources)


def test_rules_that_the_run_left_out_are_named(tmp_path):
    made = write_run(tmp_path)
    assert "Left out of this run" not in read(made.sources).text
    config = {"set": {"steady": None, "push_capacity": {"max": 3}}}
    (made.sources.allocation / "manifest.json").write_text(json.dumps({"stage": "allocate", "config": config}))
    assert "Left out of this run: steady." in read(made.sources).text


def test_the_command_takes_what_the_run_offers(tmp_path):
    made = write_run(tmp_path, users=5)
    inputs = {"../conf/policy/winter.yaml": "ab12"}
    (made.sources.allocation / "manifest.json").write_text(json.dumps({"stage": "allocate", "inputs": inputs}))
    settings = SimpleNamespace(paths=SimpleNamespace(run=tmp_path, policy=None))
    written = report_command.run(settings)
    assert written == tmp_path / "report" / "report.html"
    assert "policy <strong>winter</strong>" in written.read_text(encoding="utf-8")
    assert report_command.sources_of(tmp_path).model == tmp_path / "model"
    (tmp_path / "model" / "evaluation.json").unlink()
    assert report_command.sources_of(tmp_path).model is None


def test_rules_that_are_off_are_listed_with_dates_and_scopes(tmp_path):
    made = write_run(tmp_path)
    off = "Books goal (volume; where product audiobooks; min 5%) is off on 2026-11-23: its valid_to is 2025-12-31"
    asked = "home.min: 15 is a number of contacts and asks for nothing: there are 500. Did you mean 15%?"
    ends, idle = (
        "Fans ends on 2026-11-25, before the next run (2026-11-30)",
        "push.max: limits nothing: one user can get 1",
    )
    remarks = [
        ("off", "books", off),
        ("percent_forgotten", "home", asked),
        ("ends", "fans", ends),
        ("cannot_bind", "push", idle),
    ]
    made.edit_certificate(
        remarks=[{"kind": kind, "constraint": name, "sentence": said} for kind, name, said in remarks]
    )
    text = read(made.sources).text
    assert f"Rules of the policy that are off this week. {off}" in text
    assert asked in text
    assert f"{asked}." not in text
    assert f"Is this what was meant? {asked} {idle}." in text
    assert f"Rules of the policy that end before the next run. {ends}" in text
    top = text[: text.index("Users reached")]
    assert "4 warnings about the policy" in top and "Rules of the policy that are off this week" in top
    assert text.index("What binds, and what it costs") < text.index(off) < text.index("Users without an offer")
    made.edit_certificate(remarks=[])
    assert "that are off" not in read(made.sources).text
