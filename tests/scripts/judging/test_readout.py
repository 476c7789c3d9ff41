"""The readout on a synthetic market whose next week is drawn from its truth, and what it does with groups that are not sound."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from allocator.policy.experiment import uniform
from ranker.market import world
from ranker.scores import InputError, open_scores
from scripts import allocate
from scripts import readout as command
from scripts.cli.entry import validated
from scripts.cli.settings import AllocateSettings, ReadoutSettings
from scripts.formats.readout import Readout
from scripts.judging.readout import read_out
from scripts.judging.readout_groups import given_of
from scripts.judging.readout_sources import sources_of
from scripts.runs import digests
from tests.scripts.markets import contacts_of, policy_of, write_truth_as_scores
from tests.scripts.next_week import PURCHASE, expected_outcomes, write_tables_after

USERS, FIRST = 2_500, 1_000_000_000  # the market's ids begin there
POLICY = policy_of(
    {"revenue": 1.0, "subs": 6.0, "active_days": 0.1, "opt_out": -5.0}, 0.35, 0.1,
    "id: push, kind: volume, where: {surface: push}, max: 20%",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    folder: Path
    base: ReadoutSettings
    contacts: pd.DataFrame

    def settings(self, tables: str, out: str = "readout", **options: object) -> ReadoutSettings:
        paths = self.base.paths.model_copy(update={"tables": self.folder / tables, "out": self.folder / out})
        changed = self.base.readout.model_copy(update=options)
        return self.base.model_copy(update={"paths": paths, "readout": changed})


@pytest.fixture(scope="module")
def case(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A market with strong effects, scores that are its truth, an allocation of them, and the week after as tables."""
    folder = tmp_path_factory.mktemp("readout")
    named = {"scores": "scores", "policy": "policy.yaml", "out": "allocation"}
    paths = [f"paths.{key}='{folder / name}'" for key, name in named.items()]
    settings = validated(
        AllocateSettings, composed(*paths, f"data.users={USERS}", "data.effects.strength=3", "solve.gap=1e-3")
    )
    (folder / "market").mkdir()
    world.write(settings.data, 3, folder / "market")
    (folder / "policy.yaml").write_text(POLICY)
    write_truth_as_scores(folder / "market" / "truth" / "given_all", folder / "scores")
    allocate.run(settings)
    contacts = contacts_of(folder / "allocation")
    write_tables_after(folder / "market", contacts, folder / "after", seed=1)
    named = {"allocation": "allocation", "tables": "after", "out": "readout", "runs": "runs"}
    base = validated(
        ReadoutSettings,
        composed(*(f"paths.{key}='{folder / name}'" for key, name in named.items()), "tracking.enabled=false"),
    )
    return Case(folder, base, contacts)


@pytest.fixture(scope="module")
def found(case: Case) -> dict:
    return command.run(case.settings("after")).content()


def test_groups_are_those_of_the_salted_hash(found: dict, case: Case) -> None:
    user_id = np.concatenate([s.user_id.to_numpy() for s in open_scores(case.folder / "scores").shards()])
    held_U = uniform("h", user_id) < 0.35
    exploring_U = ~held_U & (uniform("e", user_id) < 0.1)
    assert found["sample_ratio"]["observed"] == {
        "holdout": held_U.sum(), "exploring": exploring_U.sum(), "chosen": (~held_U & ~exploring_U).sum(),
    }  # fmt: skip
    assert found["sample_ratio"]["expected"]["exploring"] == pytest.approx(0.65 * 0.1 * USERS)
    assert found["sample_ratio"]["holds"]
    assert found["contacts_per_user"]["holdout"] == 0


def test_plain_differences_are_those_counted_from_the_tables(found: dict, case: Case) -> None:
    """Every event of the week within its window, summed user by user."""
    events = pd.concat(
        [pq.read_table(f).to_pandas() for f in sorted((case.folder / "after" / "outcomes").glob("*.parquet"))]
    )
    schema = json.loads((case.folder / "after" / "schema.json").read_text())
    for window in schema["outcomes"]:
        sums: dict[int, float] = {}
        for row in events[events["outcome"] == window["name"]].itertuples():
            if window["from_day"] <= (row.occurred_on - date(2026, 11, 23)).days < window["to_day"]:
                sums[row.user_id] = sums.get(row.user_id, 0.0) + row.value
        groups = {"holdout": [], "chosen": []}
        for user in range(FIRST, FIRST + USERS):
            held = uniform("h", np.array([user]))[0] < 0.35
            if held or uniform("e", np.array([user]))[0] >= 0.1:
                groups["holdout" if held else "chosen"].append(sums.get(user, 0.0))
        lift = next(each["lift"] for each in found["metrics"] if each["name"] == window["name"])
        assert lift["holdout"]["value"] == pytest.approx(np.mean(groups["holdout"]))
        assert lift["chosen"]["value"] == pytest.approx(np.mean(groups["chosen"]))
        assert lift["plain"]["value"] == pytest.approx(np.mean(groups["chosen"]) - np.mean(groups["holdout"]))


def test_promises_are_sums_of_scores_over_the_contacts(found: dict, case: Case) -> None:
    """The scores are the truth here, so what was promised is what is truly expected."""
    user_id, _, added = expected_outcomes(case.folder / "market", case.contacts)
    held_U = uniform("h", user_id) < 0.35
    chosen_U = ~held_U & (uniform("e", user_id) >= 0.1)
    for each in found["metrics"]:
        if each["name"] != "objective":
            assert each["promised"] == pytest.approx(added[each["name"]][chosen_U].mean(), rel=1e-5)
    value = {"revenue": 1.0, "subs": 6.0, "active_days": 0.1, "opt_out": -5.0}
    whole = sum(weight * added[name][chosen_U].mean() for name, weight in value.items())
    assert found["metrics"][0]["promised"] == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("weeks", [4, 12])
def test_intervals_cover_what_is_truly_expected(case: Case, weeks: int) -> None:
    """Weeks drawn anew: all lifts, of metrics, segments and offers, against the truth; nine of ten intervals hold it at least."""
    user_id, _, added = expected_outcomes(case.folder / "market", case.contacts)
    sources = sources_of(case.base)
    given = given_of(case.folder / "allocation", sources)
    order = pd.Index(user_id).get_indexer(given.user_id)
    chosen_U = given.group_U == "chosen"
    held = {"metrics": [], "segments": []}
    narrower = []
    for seed in range(weeks):
        write_tables_after(case.folder / "market", case.contacts, case.folder / "again", seed=100 + seed)
        again = read_out(case.settings("again", segments=("market",))).content()
        shutil.rmtree(case.folder / "again")
        for each in again["metrics"][1:]:
            true = added[each["name"]][order][chosen_U].mean()
            held["metrics"].append(each["lift"]["adjusted"]["low"] <= true <= each["lift"]["adjusted"]["high"])
            if each["name"] in ("active_days", "mau"):
                narrower.append(each["lift"]["adjusted"]["stderr"] / each["lift"]["plain"]["stderr"])
        for each in again["segments"]:
            if each["outcome"] in ("mau", "active_days"):
                who_U = chosen_U & (given.segment["market"] == each["value"])
                true = added[each["outcome"]][order][who_U].mean()
                held["segments"].append(each["realised"]["low"] <= true <= each["realised"]["high"])
    assert len(held["metrics"]) == 5 * weeks and len(held["segments"]) > 5 * weeks
    assert {name: np.mean(found) for name, found in held.items() if not np.mean(found) >= 0.88} == {}
    assert np.mean(narrower) < 0.9  # activity of the weeks before tells much of this week's


def test_offers_compare_users_who_would_get_them_in_both_groups(found: dict, case: Case) -> None:
    """Almost everybody got what the prices give, and the prices give the held out as much as the chosen."""
    assert found["as_priced"] > 0.97
    assert {"id", "surface", "product"} <= {each["attribute"] for each in found["offers"]}
    surfaces = [e for e in found["offers"] if (e["attribute"], e["outcome"]) == ("surface", "subs")]
    sizes = found["sample_ratio"]["observed"]
    for each in surfaces:
        share = each["users_holdout"] / (each["users_holdout"] + each["users_chosen"])
        expected = sizes["holdout"] / (sizes["holdout"] + sizes["chosen"])
        users = each["users_holdout"] + each["users_chosen"]
        assert abs(share - expected) < 4 * (expected * (1 - expected) / users) ** 0.5
        assert each["promised"] > 0


def test_the_verdict_and_the_page_say_the_same(found: dict, case: Case) -> None:
    verdict = found["verdict"]
    assert [c["metric"] for c in verdict["conditions"]] == ["subs", "active_days", "revenue", "opt_out"]
    assert verdict["ship"] == verdict["sentence"].startswith("Ship")
    page = (case.folder / "readout" / "readout.html").read_text()
    assert verdict["sentence"].replace("'", "&#39;") in page
    charts = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])
    assert charts.keys() >= {"relative", "chance", "segments", "offers"}
    assert set(re.findall(r'id="chart-([\w-]+)"', page)) == charts.keys()
    written = case.folder / "readout" / "readout.json"
    assert json.loads(written.read_text()) == found
    assert Readout.from_file(written).text() == written.read_text()


@pytest.mark.slow
def test_a_large_lift_ships_and_a_guardrail_stops_it(case: Case) -> None:
    """Everybody chosen buys once more; then the same where revenue is said to be better low."""
    tables = case.folder / "rich"
    shutil.copytree(case.folder / "after", tables)
    chosen = pd.unique(case.contacts.loc[case.contacts["source"] == "optimised", "user_id"])
    schema = pq.read_schema(next((tables / "outcomes").glob("*.parquet")))
    day = np.datetime64("2026-11-24")
    more = pd.DataFrame(
        {"user_id": chosen, "outcome": "revenue", "occurred_on": day, "recorded_on": day + 1, "value": PURCHASE}
    )
    more[["occurred_on", "recorded_on"]] = more[["occurred_on", "recorded_on"]].astype("datetime64[s]")
    pq.write_table(pa.Table.from_pandas(more, preserve_index=False).cast(schema), tables / "outcomes" / "more.parquet")
    safe = {"guardrails": {"active_days": 0.5}, "success": ("revenue",)}
    good = read_out(case.settings("rich", **safe)).content()
    assert good["verdict"]["sentence"] == "Ship: revenue better, and active_days no worse than allowed."
    revenue = next(each for each in good["metrics"] if each["name"] == "revenue")
    assert revenue["lift"]["adjusted"]["value"] == pytest.approx(PURCHASE, rel=0.2)
    assert revenue["lift"]["relative"]["low"] > 1
    bad = read_out(
        case.settings("rich", lower_is_better=("revenue",), success=("subs",), guardrails={"revenue": 0.1})
    ).content()
    assert "not shown to be safe: revenue" in bad["verdict"]["sentence"]


@pytest.mark.slow
def test_users_who_are_lost_from_one_group_are_noticed(case: Case) -> None:
    """A third of the holdout is missing from the tables: the ratio is off, and nothing is shipped."""
    tables = case.folder / "lost"
    shutil.copytree(case.folder / "after", tables)
    for name in ("users", "outcomes"):
        for file in (tables / name).glob("*.parquet"):
            table = pq.read_table(file)
            ids = table.column("user_id").to_numpy()
            gone = (uniform("h", ids) < 0.35) & (ids % 3 == 0)
            pq.write_table(table.filter(pa.array(~gone)), file)
    found = command.run(case.settings("lost", out="readout_lost")).content()
    assert not found["sample_ratio"]["holds"]
    assert found["verdict"]["sentence"].startswith("Don't ship: the groups are not as they were drawn")
    page = (case.folder / "readout_lost" / "readout.html").read_text()
    assert "Users were lost or moved" in page
    assert f"of {USERS:,} users are not in the tables" in page


def test_held_out_users_who_were_shown_something_are_counted(found: dict, case: Case) -> None:
    assert found["exposed_in_holdout"] is None  # the tables hold no exposures of that day
    tables = case.folder / "leaky"
    shutil.copytree(case.folder / "after", tables)
    file = next((tables / "exposures").glob("*.parquet"))
    table = pq.read_table(file)
    frame = table.slice(0, 100).to_pandas()
    frame["user_id"], frame["decided_on"] = FIRST + np.arange(100), date(2026, 11, 23)
    frame["action"] = ["none"] * 50 + ["push_1/family/trial"] * 50
    pq.write_table(
        pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False), tables / "exposures" / "day.parquet"
    )
    leaky = read_out(case.settings("leaky")).content()
    assert leaky["exposed_in_holdout"] == int((uniform("h", FIRST + np.arange(50, 100)) < 0.35).sum())


def test_groups_can_be_those_that_the_exposures_record(found: dict, case: Case) -> None:
    """Recorded as they were drawn, the readout is the same; users without a record are left out."""
    user_id = FIRST + np.arange(USERS)
    held_U = uniform("h", user_id) < 0.35
    arm_U = np.where(held_U, "holdout", np.where(uniform("e", user_id) < 0.1, "exploration", "heuristic"))
    tables = case.folder / "recorded"
    shutil.copytree(case.folder / "after", tables)
    table = pq.read_table(next((tables / "exposures").glob("*.parquet"))).slice(0, USERS)
    frame = table.to_pandas()
    frame["user_id"], frame["decided_on"], frame["arm"], frame["action"] = user_id, date(2026, 11, 23), arm_U, "none"
    path = tables / "exposures" / "day.parquet"
    pq.write_table(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False), path)
    recorded = read_out(case.settings("recorded", groups="recorded")).content()
    assert recorded["metrics"] == found["metrics"]
    assert recorded["exposed_in_holdout"] == 0
    pq.write_table(pa.Table.from_pandas(frame.tail(2_000), schema=table.schema, preserve_index=False), path)
    fewer = read_out(case.settings("recorded", groups="recorded")).content()
    assert fewer["users"] == {"allocated_for": USERS, "read": 2_000}
    assert fewer["sample_ratio"]["observed"]["holdout"] == held_U[-2_000:].sum()
    with pytest.raises(InputError, match="no rows of 2026-11-23"):
        read_out(case.settings("after", groups="recorded")).content()


def test_outcomes_that_are_not_complete_are_not_read(case: Case) -> None:
    write_tables_after(case.folder / "market", case.contacts, case.folder / "early", seed=1, later=20)
    early = read_out(case.settings("early")).content()
    assert early["immature"] == {"mau": "2026-12-28", "revenue": "2026-12-28"}
    assert [each["name"] for each in early["metrics"]] == ["subs", "active_days", "opt_out"]
    write_tables_after(case.folder / "market", case.contacts, case.folder / "too_early", seed=1, later=3)
    with pytest.raises(InputError, match="the first outcome of 2026-11-23 is complete on 2026-12-01"):
        read_out(case.settings("too_early")).content()


def test_what_does_not_belong_together_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no outcome clicks"):
        read_out(case.settings("after", success=("clicks",))).content()
    with pytest.raises(InputError, match="no segment planet"):
        read_out(case.settings("after", segments=("planet",))).content()
    elsewhere = tmp_path / "allocation"
    shutil.copytree(case.folder / "allocation", elsewhere)
    paths = case.base.paths.model_copy(update={"allocation": elsewhere})
    with pytest.raises(InputError, match=r"give scores=(.|\n)*give policy=") as caught:
        sources_of(case.base.model_copy(update={"paths": paths}))
    assert len(caught.value.problems) == 2
    other = tmp_path / "policy.yaml"
    other.write_text(POLICY.replace("0.35", "0.3"))
    paths = paths.model_copy(update={"scores": case.folder / "scores", "policy": other})
    with pytest.raises(InputError, match="is not what the allocation was made from"):
        sources_of(case.base.model_copy(update={"paths": paths}))
    paths = paths.model_copy(update={"policy": case.folder / "policy.yaml"})
    assert sources_of(case.base.model_copy(update={"paths": paths})).day == date(2026, 11, 23)
    other.write_text(POLICY.replace("  holdout: {share: 0.35, salt: h}\n", ""))
    manifest = json.loads((elsewhere / "manifest.json").read_text())
    del manifest["own_digest"]  # of what it said before
    first, second = manifest["inputs"]
    manifest["inputs"][second] = digests.digest(other)
    assert first.endswith("scores")
    (elsewhere / "manifest.json").write_text(json.dumps(manifest))
    paths = paths.model_copy(update={"policy": other})
    with pytest.raises(InputError, match="nobody to compare with"):
        sources_of(case.base.model_copy(update={"paths": paths}))
    (elsewhere / "manifest.json").unlink()
    with pytest.raises(InputError, match="is no manifest of allocate"):
        sources_of(case.base.model_copy(update={"paths": paths}))
