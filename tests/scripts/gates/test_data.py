"""Weeks whose data is not like last week's are refused by the size of what happened, and by nothing that chance does."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ranker.contact_history import HistoryColumns
from ranker.log_schema import LogSchema, Outcome, write_schema
from ranker.profiles.records import PROFILE, Profile, TableProfile
from ranker.profiles.table import TableSketch
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import UNTOLD
from scripts.runs.pointer import Refused, publish
from tests.scripts.runs.test_pointer import write_run

ROWS = 2000
OUTCOMES = (Outcome("spend", "amount", "EUR"), Outcome("visit", "binary", "visits"))


def table(name: str, **columns: object) -> TableProfile:
    sketch = TableSketch(name)
    sketch.see(pa.RecordBatch.from_pydict(columns))
    return sketch.profile()


def write_week(runs: Path, name: str, seed: int, **changes: object) -> Path:
    """A finished run with profiles of logs, scored users and scores, drawn by the seed but for what is changed."""
    generator, run = np.random.default_rng(seed), write_run(runs, name)
    spend = np.where(generator.random(ROWS) < 0.9, 0.0, generator.lognormal(size=ROWS))
    users = {
        "plays": generator.poisson(20, ROWS).astype(float),
        "contacts": generator.poisson(2, ROWS).astype(float),
        "market": generator.choice(["SE", "NO"], ROWS),
    }
    columns = {
        "exposures": {"propensity": generator.random(ROWS)},
        "logs": {"spend": spend, "visit": (generator.random(ROWS) < 0.3).astype(float)},
        "scored users": users,
        "scores": {"mean_spend": generator.normal(1, 0.2, ROWS), "stderr_spend": np.full(ROWS, 0.1)},
    }
    for place, values in changes.items():
        of, _, column = place.partition("__")
        if values is not None:
            columns[of.replace("_", " ")] |= {column: values}
    tables = {name: table(name, **held) for name, held in columns.items()}
    for stage, names in (("logs", ("exposures", "logs")), ("scores", ("scored users", "scores"))):
        (run / stage).mkdir()
        (run / stage / PROFILE).write_text(Profile(tables=tuple(tables[each] for each in names)).text())
    history = HistoryColumns(28, "contacts")
    write_schema(run / "logs" / "schema.json", LogSchema(("contacts",), (), OUTCOMES, "none", history=history))
    return run


def refused(runs: Path, **changes: object) -> list[str]:
    publish(write_week(runs, "W47", 0), PublishOptions())
    with pytest.raises(Refused) as refusal:
        publish(write_week(runs, "W48", 1, **changes), PublishOptions())
    return [reason.split(";")[0] for reason in refusal.value.reasons]


def test_another_draw_of_the_same_passes(tmp_path: Path) -> None:
    for seed in range(8):
        assert publish(write_week(tmp_path, f"W{seed}", seed), PublishOptions()).moved


def test_a_feature_of_earlier_contacts_moves_as_was_decided_and_refuses_nothing(tmp_path: Path) -> None:
    """The first week that is optimised gives other contacts than whatever came before it."""
    publish(write_week(tmp_path, "W47", 0), PublishOptions())
    many = np.random.default_rng(9).poisson(9, ROWS).astype(float)
    flip = publish(write_week(tmp_path, "W48", 1, scored_users__contacts=many), PublishOptions())
    assert flip.moved and flip.gates is not None
    told = [each for each in flip.gates.findings if each.about == "contacts"]
    assert told and {each.status for each in told} == {"not compared"}


def test_outcomes_that_are_all_zero_are_refused_even_in_a_first_week(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        publish(write_week(tmp_path, "W47", 0, logs__spend=[0.0] * ROWS, logs__visit=[0.0] * ROWS), PublishOptions())
    assert refusal.value.reasons == ("all 2 outcomes are zero in all 2,000 logged decisions",)


def test_one_outcome_that_never_varies_is_refused_and_may_be_let_through(tmp_path: Path) -> None:
    constant = {"logs__visit": [1.0] * ROWS}
    assert publish(write_week(tmp_path, "W46", 0, **constant), PublishOptions()).moved, "nobody knows better"
    publish(write_week(tmp_path, "W47", 0), PublishOptions())
    run = write_week(tmp_path, "W48", 1, **constant)
    with pytest.raises(Refused, match="outcome visit: is 1 in all 2,000 logged decisions, which it was not in W47"):
        publish(run, PublishOptions())
    assert publish(run, PublishOptions(max_constant_outcomes=1)).moved


def test_a_rare_outcome_that_did_not_happen_is_no_fault(tmp_path: Path) -> None:
    publish(write_week(tmp_path, "W47", 0, logs__visit=[1.0] * 15 + [0.0] * (ROWS - 15)), PublishOptions())
    assert publish(write_week(tmp_path, "W48", 1, logs__visit=[0.0] * ROWS), PublishOptions()).moved


def test_a_feature_ten_times_as_large_is_refused_with_its_distance(tmp_path: Path) -> None:
    plays = 10 * np.random.default_rng(2).poisson(20, ROWS).astype(float)
    (reason,) = refused(tmp_path, scored_users__plays=plays)
    assert reason.startswith("feature plays: moved by 4")
    assert reason.endswith("spreads since W47")


def test_a_feature_that_goes_missing_is_refused(tmp_path: Path) -> None:
    plays = pa.array(np.random.default_rng(2).poisson(20, ROWS).astype(float), mask=np.arange(ROWS) % 2 == 0)
    assert refused(tmp_path, scored_users__plays=plays) == ["feature plays: missing part moved by 0.50 since W47"]


def test_listeners_of_another_market_are_refused_and_few_of_a_new_one_are_not(tmp_path: Path) -> None:
    (reason,) = refused(tmp_path, scored_users__market=["FI"] * ROWS)
    assert reason == "feature market: 1.00 of its values moved since W47"
    some = ["FI" if row % 10 == 0 else "SE" if row % 2 else "NO" for row in range(ROWS)]
    assert publish(write_week(tmp_path, "W49", 3, scored_users__market=some), PublishOptions()).moved


def test_scores_that_left_their_range_are_refused(tmp_path: Path) -> None:
    (reason,) = refused(tmp_path, scores__mean_spend=np.random.default_rng(2).normal(3, 0.2, ROWS))
    assert reason.startswith("scores of spend: moved by 9.0"), "2 / hypot(0.2, 0.1), of the middle a little more"


def test_a_table_twice_as_long_is_refused(tmp_path: Path) -> None:
    publish(write_week(tmp_path, "W47", 0), PublishOptions())
    run = write_week(tmp_path, "W48", 1)
    profile = Profile.from_file(run / "logs" / PROFILE)
    twice = profile.tables[0].model_copy(update={"rows": 2 * ROWS})
    (run / "logs" / PROFILE).write_text(Profile(tables=(twice, profile.tables[1])).text())
    with pytest.raises(Refused, match=r"table exposures: 4,000 rows after 2,000 in W47, a change of 50 %"):
        publish(run, PublishOptions())


def test_a_week_without_profiles_is_said_not_to_be_compared(tmp_path: Path) -> None:
    publish(write_week(tmp_path, "W47", 0), PublishOptions())
    flip = publish(write_run(tmp_path, "W48"), PublishOptions())
    assert flip.gates is not None
    untold = {each.gate: each.sentence for each in flip.gates.of(UNTOLD)}
    assert untold["feature drift"] == "a week has no profile of the listeners that it scored"
    assert untold["outcomes"] == "the logs have no profile"
