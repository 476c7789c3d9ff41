"""Every gate is asked, every refusal told with both figures and the week, and a person may answer for some of them."""

import json
from pathlib import Path

import pytest

from ranker.evaluate.records import EVALUATION
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GATES, OVERRIDDEN, REFUSED, UNTOLD, GatesRecord
from scripts.runs.pointer import Refused, current, publish, published_before, rollback
from tests.scripts.gates.weeks import constraint, write_whole_week
from tests.scripts.runs.test_pointer import sign, write_run

MARKETS = {user: "SE" if user < 300 else "NO" for user in range(400)}
SMALL = PublishOptions(floor=10, max_churn=None)


def slates(last: int, actions: str = "a", first: int = 0) -> list[tuple[int, str]]:
    return [(user, action) for user in range(first, last) for action in actions]


def refused(run: Path, options: PublishOptions = SMALL) -> tuple[str, ...]:
    """The reasons, which gates.json keeps too."""
    with pytest.raises(Refused) as refusal:
        publish(run, options)
    kept = GatesRecord.from_file(run / GATES)
    assert kept.refusals == refusal.value.reasons
    assert refusal.value.gates == kept
    return refusal.value.reasons


def test_a_first_week_says_what_it_cannot_compare_and_passes(tmp_path: Path) -> None:
    flip = publish(write_whole_week(tmp_path, "W47", slates(200), MARKETS), SMALL)
    assert flip.moved
    assert flip.gates is not None
    assert flip.gates.week is None
    assert not flip.gates.refusals
    untold = {each.gate: each.sentence for each in flip.gates.of(UNTOLD)}
    assert untold["value"] == untold["swing"] == untold["empty partitions"] == "nothing was published before"
    assert GatesRecord.from_file(tmp_path / "W47" / GATES) == flip.gates


def test_a_market_that_runs_empty_is_refused(tmp_path: Path) -> None:
    publish(write_whole_week(tmp_path, "W47", slates(350), MARKETS), SMALL)
    without = write_whole_week(tmp_path, "W48", slates(300, first=50), MARKETS)
    (reason,) = refused(without)
    assert reason.startswith("market NO: has no listeners with contacts any more after 50 in W47")
    gone = write_whole_week(tmp_path, "W49", slates(300), {user: "SE" for user in range(300)})
    (reason,) = refused(gone)
    assert reason.startswith("market NO: has no listeners any more after 100 in W47")
    assert publish(gone, SMALL.model_copy(update={"max_empty": 1})).moved
    assert publish(without, SMALL.model_copy(update={"floor": 51})).moved, "nothing is smaller than what counts"


def test_a_new_market_is_no_empty_one(tmp_path: Path) -> None:
    publish(write_whole_week(tmp_path, "W47", slates(300), {user: "SE" for user in range(300)}), SMALL)
    assert publish(write_whole_week(tmp_path, "W48", slates(300), MARKETS), SMALL).moved


def test_churn_counts_listeners_who_get_others_or_none(tmp_path: Path) -> None:
    """Of 200: 50 lose theirs, 30 get another beside, 120 have the same in another order."""
    publish(write_whole_week(tmp_path, "W47", slates(200, "ab"), MARKETS), SMALL)
    contacts = [*slates(120, "ba"), *slates(150, "abc", 120), *slates(400, "a", 200)]
    run = write_whole_week(tmp_path, "W48", contacts, MARKETS)
    (reason,) = refused(run, PublishOptions(max_churn=0.39))
    assert reason.startswith("churn: 40.0 % of the listeners of W47 get other contacts or none; the guardrail publish.")
    assert publish(run, PublishOptions(max_churn=0.4)).moved


@pytest.mark.parametrize(
    ("last", "now", "is_refused"),
    [
        (constraint("push", 1000), constraint("push", 150), True),
        (constraint("push", 1000), constraint("push", 250), False),
        (constraint("push", 9), constraint("push", 1), False),
        (constraint("push", 19), constraint("push", 1), False),
        (constraint("push", 30), constraint("push", 1), True),
        (constraint("push", 1000), constraint("push", 150, strength="report_only"), False),
        (constraint("push", 1000, max=1000), constraint("push", 150, max=150), False),
        (constraint("push", None), constraint("push", 150), False),
        (constraint("share", 0.9, "share", denominator=500), constraint("share", 0.1, "share", denominator=500), True),
        (constraint("share", 0.9, "share", denominator=5), constraint("share", 0.1, "share", denominator=500), False),
        (constraint("sum", 50.0, "total", se=1.0), constraint("sum", 5.0, "total", se=1.0), True),
        (constraint("sum", 50.0, "total", se=30.0), constraint("sum", 5.0, "total", se=1.0), False),
    ],
)
def test_a_swing_is_large_beyond_chance_and_not_asked_for(
    tmp_path: Path, last: dict, now: dict, is_refused: bool
) -> None:
    publish(write_whole_week(tmp_path, "W47", slates(200), MARKETS, {"constraints": [last]}), SMALL)
    run = write_whole_week(tmp_path, "W48", slates(200), MARKETS, {"constraints": [now]})
    if is_refused:
        (reason,) = refused(run)
        assert f"{now['id']}: {now['achieved']:,.6g} after {last['achieved']:,.6g} in W47, a swing of " in reason
    else:
        assert publish(run, SMALL).moved


HARM = [{"metric": "revenue", "weight": 1.0}, {"metric": "opt_out", "weight": -25.0}]


def forecast(total: float, se: float = 0.0) -> dict[str, object]:
    return {"objective": HARM, "metrics": {"opt_out": {"total": total, "unit": "users", "se": se}}}


def test_a_forecast_of_harm_that_doubles_is_refused_in_all_and_per_contact(tmp_path: Path) -> None:
    publish(write_whole_week(tmp_path, "W47", slates(200), MARKETS, forecast(2.0)), SMALL)
    reasons = refused(write_whole_week(tmp_path, "W48", slates(200), MARKETS, forecast(5.0)))
    assert [reason.split(":")[0] for reason in reasons] == ["opt_out in all", "opt_out per contact"]
    more = write_whole_week(tmp_path, "W49", slates(400), MARKETS, forecast(5.0))
    assert [reason.split(":")[0] for reason in refused(more)] == ["opt_out in all"]
    assert publish(write_whole_week(tmp_path, "W50", slates(200), MARKETS, forecast(5.0, 2.0)), SMALL).moved
    limited = SMALL.model_copy(update={"max_guardrail": None, "guardrail_limits": {"opt_out": 0.012}})
    (reason,) = refused(more, limited)
    assert reason.startswith("opt_out per contact: 0.0125 is forecast; the guardrail publish.guardrail_limits.opt_out")


def test_a_rule_that_protected_and_ran_out_is_refused(tmp_path: Path) -> None:
    def policy(**dates: str) -> dict[str, object]:
        cap = {"id": "push", "kind": "volume", "where": {"surface": "push"}, "max": 100, **dates}
        goal = {"id": "goal", "kind": "volume", "where": {"surface": "push"}, "min": 1, "valid_to": "2026-11-20"}
        return {"version": 1, "objective": [{"metric": "revenue", "weight": 1.0}], "constraints": [cap, goal]}

    first, second = {"as_of": "2026-11-16"}, {"as_of": "2026-11-23"}
    publish(write_whole_week(tmp_path, "W47", slates(200), MARKETS, first, policy()), SMALL)
    ended = write_whole_week(tmp_path, "W48", slates(200), MARKETS, second, policy(valid_to="2026-11-20"))
    (reason,) = refused(ended)
    assert reason.startswith("push: held in W47 and ran out on 2026-11-20")
    longer = write_whole_week(tmp_path, "W49", slates(200), MARKETS, second, policy(valid_to="2026-11-23"))
    assert publish(longer, SMALL).moved, "the last day is a day on which it holds"


def evaluation(value: float, slope: float, reliability: float, stderr: float = 0.01) -> str:
    none = {"value": None, "stderr": None, "low": None, "high": None}
    policy = {
        **{"name": "valuenet", "outcome": "objective", "estimator": "DR", "value": value, "stderr": stderr},
        **{"low": None, "high": None, "effective_sample_size": 100.0},
        **{"difference_to_best_fixed": none, "difference_to_valuenet": None},
    }
    slopes = {"value": slope, "stderr": stderr}
    pooled = {
        **{"outcome": "revenue", "average": {"predicted": 1.0, "realised": 1.0, "stderr": 0.1}},
        **{"users": slopes, "actions": slopes, "deciles": []},
    }
    content = {
        **{"rows": {"train": 1, "validation": 1, "test": 1}, "sample": {"judged": 1, "baselines": 1}, "slates": None},
        **{"unidentified": [], "outcomes": ["revenue"], "objective": {"revenue": 1.0}, "policies": [policy]},
        **{"qini": [], "calibration": [], "calibration_pooled": [pooled], "surrogates": []},
        "reliability": [{"outcome": "revenue", "action": "a", "reliability": reliability, "average": False}],
        "training": {"epochs": 1, "best_epoch": 1, "curve": [], "members": [], "seconds": 1.0},
    }
    return json.dumps(content)


def test_a_worse_model_is_refused_and_an_ordinary_one_is_not(tmp_path: Path) -> None:
    def week(name: str, *told: float) -> Path:
        run = write_whole_week(tmp_path, name, slates(200), MARKETS)
        (run / "model").mkdir()
        (run / "model" / EVALUATION).write_text(evaluation(*told))
        return run

    publish(week("W47", 2.0, 1.1, 0.4), SMALL)
    worse = week("W48", 1.0, 3.0, 0.03)
    assert [reason.split(":")[0] for reason in refused(worse)] == [
        "off-policy value of the model",
        "calibration slope of revenue",
        "reliability of revenue",
    ]
    assert publish(week("W49", 1.0, 3.0, 0.25, 1.0), SMALL).moved, "within what such estimates vary by"
    assert publish(week("W50", 1.5, 0.6, 0.3), SMALL).moved


def test_an_override_names_a_person_and_a_reason_and_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give both or neither"):
        PublishOptions(override="Kim")
    with pytest.raises(ValueError, match="give both or neither"):
        PublishOptions(reason="The market was closed.")
    publish(write_whole_week(tmp_path, "W47", slates(350), MARKETS), SMALL)
    run = write_whole_week(tmp_path, "W48", slates(300), MARKETS)
    (reason,) = refused(run)
    by = SMALL.model_copy(update={"override": "Kim", "reason": "NO is closed from this week on."})
    flip = publish(run, by)
    assert flip.moved
    override = published_before(tmp_path)[-1].override
    assert override is not None
    assert (override.by, override.reason, override.refusals) == ("Kim", "NO is closed from this week on.", (reason,))
    kept = GatesRecord.from_file(run / GATES)
    assert kept.override == override
    assert [each.gate for each in kept.of(OVERRIDDEN)] == ["empty partitions"]
    assert not kept.of(REFUSED)
    assert publish(write_whole_week(tmp_path, "W49", slates(300), MARKETS), by).pointer.override is None, "not needed"
    assert rollback(tmp_path, "W48").pointer.override is None, "going back overrides nothing"


@pytest.mark.parametrize("changes", [{"verdict": "FAIL"}, {"gap": None}, {"status": "unknown"}])
def test_nobody_overrides_the_audit_or_a_missing_certificate(tmp_path: Path, changes: dict) -> None:
    by = PublishOptions(override="Kim", reason="It must go out.")
    with pytest.raises(Refused):
        publish(write_run(tmp_path, "W48", **changes), by)
    assert current(tmp_path) is None


def test_nobody_overrides_files_that_were_changed_or_are_missing(tmp_path: Path) -> None:
    by = PublishOptions(override="Kim", reason="It must go out.")
    run = write_run(tmp_path, "W48", gap=0.5)
    (run / "allocation" / "prices.json").unlink()
    assert len(refused(run, by)) == 3
    other = write_run(tmp_path, "W49", gap=0.5)
    assert publish(other, by).moved, "a large gap may be"


def test_another_person_than_the_author_approves(tmp_path: Path) -> None:
    asked = PublishOptions(approver_required=True)
    run = write_run(tmp_path, "W48")
    assert refused(run, asked) == ("nobody approved it: publish.approver=NAME says who does",)
    proposal = {
        **{"name": "mine", "file": "mine.yaml", "sha256": "0" * 64, "run": "W47", "reason": "r", "author": "Kim"},
        **{"at": "2026-11-23", "state": "proposed"},
    }
    folder = tmp_path / "console" / "proposals" / "mine"
    folder.mkdir(parents=True)
    (folder / "proposal.json").write_text(json.dumps(proposal))
    sign(run / "allocation")
    manifest = json.loads((run / "allocation" / "manifest.json").read_text())
    (run / "allocation" / "manifest.json").write_text(json.dumps(manifest | {"inputs": {"../mine.yaml": "0" * 64}}))
    by_the_author = asked.model_copy(update={"approver": "kim", "override": "Kim", "reason": "I know it."})
    assert refused(run, by_the_author) == ("Kim wrote its policy: another person must approve it",)
    (folder / "proposal.json").write_text(json.dumps(proposal | {"approver": "Ola", "state": "approved"}))
    assert publish(run, asked).pointer.approver == "Ola"
    other = write_run(tmp_path, "W49")
    assert publish(other, asked.model_copy(update={"approver": "Ada"})).pointer.approver == "Ada"


def test_a_published_run_is_not_judged_beside_itself(tmp_path: Path) -> None:
    run = write_whole_week(tmp_path, "W47", slates(200), MARKETS)
    publish(run, SMALL)
    before = (run / GATES).read_bytes()
    assert not publish(run, SMALL).moved
    assert (run / GATES).read_bytes() == before
