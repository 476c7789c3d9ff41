"""Eight weeks of one market on one runs folder: a product is launched and another withdrawn, weeks are read out, bad ones are refused.

The market answers what each week decided, so that later weeks learn from it. Before its launch nothing knows the product: it is neither
in the catalogue nor in the tables.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ranker.catalogue import read_catalogue
from ranker.columns import as_flags
from ranker.files import sha256_of
from ranker.logs import eligible_column
from tests.scripts.test_bad_weeks import every_listener_twice, nothing_came, plays_ten_times_as_much

Call = Callable[..., subprocess.CompletedProcess[str]]
WEEKS = ("2026-W48", "2026-W49", "2026-W50", "2026-W51", "2026-W52", "2026-W53", "2027-W01", "2027-W02")
LAUNCHED, LAUNCH = "hifi", 3
WITHDRAWN, WITHDRAWAL = "premium_lite", 6
EXPERIMENT = "eight weeks"
RECORDED = f"tracking.experiment='{EXPERIMENT}'"
FIXED = (RECORDED, "+debug=tiny", "fit=fast", "publish.max_gap=0.01", "publish=true", "solve.price_ranges=false")
READ_OUT = 2
"""So many of the first weeks are read out, six weeks later."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    for file in folder.glob("*.parquet"):
        pq.write_table(change(pq.read_table(file)), file)


def take_out(company: Path, products: Collection[str]) -> None:
    """Nothing of the company's names these products: catalogue, exposures, who is eligible for what."""
    file = company / "catalogue.json"
    content, ids = json.loads(file.read_text()), read_catalogue(file).ids
    kept_A = np.array([action["product"] not in products for action in content["actions"]])
    gone = pa.array([name for name, kept in zip(ids, kept_A, strict=True) if not kept])
    assert len(gone)

    def narrowed(rows: pa.Table) -> pa.Table:
        if "action" in rows.column_names:
            rows = rows.filter(pc.invert(pc.is_in(rows["action"].cast(pa.string()), gone)))
        if "eligible" not in rows.column_names:
            return rows
        flags_RA = as_flags(rows["eligible"], len(kept_A))[:, kept_A]
        place = rows.schema.get_field_index("eligible")
        return rows.set_column(place, "eligible", pa.array(eligible_column(flags_RA)))

    for table in ("tables/exposures", "users"):
        rewrite(company / table, narrowed)
    content["actions"] = [action for action, kept in zip(content["actions"], kept_A, strict=True) if kept]
    for place in (file, company / "tables" / "catalogue.json"):
        if place.exists():
            place.write_text(json.dumps(content))


def company_of(market: Path, week: int, name: str) -> Path:
    """What the company has of the market in this week, in a folder of its own."""
    company = market.with_name(f"company-{name}")
    company.mkdir()
    for part in ("tables", "users"):
        shutil.copytree(market / part, company / part)
    shutil.copy(market / "catalogue.json", company)
    products = [LAUNCHED] * (week < LAUNCH) + [WITHDRAWN] * (week >= WITHDRAWAL)
    if products:
        take_out(company, products)
    return company


@dataclass(frozen=True)
class Lived:
    """The folder of all weeks, and the market after the last one."""

    folder: Path
    market: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"


@pytest.fixture(scope="module")
def lived(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    kept = os.environ.get("OFFERMIX_EIGHT_WEEKS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("eight weeks")
    market = folder / "market-0"
    done(call("-m", "scripts.make_market", "users=2000", "data.weeks=8", "seed=5", f"out={market}"))
    for place, name in enumerate(WEEKS):
        done(week_of(call, folder, name, company_of(market, place, name)))
        after = [f"after={folder / 'runs' / name / 'allocation'}", f"market={market}"]
        if place < READ_OUT:
            later = folder / f"later-{place}"
            done(call("-m", "scripts.make_market", *after, "later=6", f"out={later}"))
            read = [f"allocation={folder / 'runs' / name / 'allocation'}", f"tables={later / 'tables'}"]
            read += [f"out={folder / 'runs' / name / 'readout'}", f"runs={folder / 'runs'}", RECORDED]
            done(call("-m", "scripts.readout", *read))
        market = folder / f"market-{place + 1}"
        done(call("-m", "scripts.make_market", *after, f"out={market}"))
    return Lived(folder, market)


def done(called: subprocess.CompletedProcess[str]) -> None:
    assert called.returncode == 0, called.stderr


def week_of(call: Call, folder: Path, name: str, company: Path) -> subprocess.CompletedProcess[str]:
    return call("-m", "scripts.weekly", *FIXED, f"runs={folder / 'runs'}", f"run={name}", f"tables={company}")


def products_of(lived: Lived, name: str) -> set[str]:
    """Those of which anything was given."""
    rows = pd.concat(pd.read_parquet(file) for file in (lived.runs / name / "allocation").glob("*.parquet"))
    actions = read_catalogue(lived.runs / name / "scores" / "catalogue.json").actions
    product = {action["id"]: action["product"] for action in actions}
    return {product[action] for action in rows["action"]}


def test_each_week_is_published_after_the_one_before(lived: Lived) -> None:
    lines = (lived.runs / "published_history.jsonl").read_text().splitlines()
    assert [(each["run"], each["previous"]) for each in map(json.loads, lines)] == [
        (name, previous) for name, previous in zip(WEEKS, (None, *WEEKS[:-1]), strict=True)
    ]


def test_a_product_is_given_from_its_launch_on_and_one_until_its_withdrawal(lived: Lived) -> None:
    given = [products_of(lived, name) for name in WEEKS]
    assert [LAUNCHED in products for products in given] == [place >= LAUNCH for place in range(len(WEEKS))]
    assert [WITHDRAWN in products for products in given] == [place < WITHDRAWAL for place in range(len(WEEKS))]


def test_the_history_in_mlflow_has_every_week_and_what_came_of_the_first(lived: Lived) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{lived.runs / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (history,) = client.search_runs([experiment], "tags.`offermix.kind` = 'history'")
    days = [date.fromisoformat(day_of(lived, name)) for name in WEEKS]
    assert [(later - earlier).days for earlier, later in pairwise(days)] == [7] * (len(WEEKS) - 1)
    for metric, points in (("value", len(WEEKS)), ("reach", len(WEEKS)), ("realised", READ_OUT)):
        steps = [each.step for each in client.get_metric_history(history.info.run_id, metric)]
        assert steps == list(range(steps[0], steps[0] + points)), metric


def test_the_champion_is_the_model_that_scored_the_last_week(lived: Lived) -> None:
    """Whether challengers lost or won in the weeks before."""
    client = mlflow.MlflowClient(f"sqlite:///{lived.runs / 'mlflow.db'}")
    last = lived.runs / WEEKS[-1]
    scored_by = json.loads((last / "scores" / "catalogue.json").read_text())["model_id"]
    folders = [folder for folder in (last / "champion", last / "model") if folder.is_dir()]
    assert json.loads((folders[0] / "model.json").read_text())["id"] == scored_by
    (name,) = (each.name for each in client.search_registered_models())
    champion = client.get_model_version_by_alias(name, "champion")
    assert champion.tags["weights_sha256"] == sha256_of(folders[0] / "weights.safetensors")


def day_of(lived: Lived, name: str) -> str:
    return str(json.loads((lived.runs / name / "scores" / "catalogue.json").read_text())["as_of"])


@pytest.mark.parametrize(
    ("name", "change", "status", "told"),
    [
        ("nothing-came", nothing_came, 2, "outcome"),
        ("doubled", every_listener_twice, 4, "rows after"),
        ("shifted", plays_ten_times_as_much("users"), 4, "feature minutes_28d: moved by"),
    ],
)
def test_a_bad_ninth_week_is_refused_with_its_reason(
    call: Call, lived: Lived, name: str, change: Callable[[Path], None], status: int, told: str
) -> None:
    company = company_of(lived.market, len(WEEKS), name)
    change(company)
    before = (lived.runs / "published.json").read_bytes()
    called = week_of(call, lived.folder, name, company)
    assert called.returncode == status, called.stderr
    assert told in called.stderr and "Traceback" not in called.stderr
    assert (lived.runs / "published.json").read_bytes() == before
