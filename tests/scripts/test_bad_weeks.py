"""Bad weeks, each a whole one on a small market next to a good one that is published: refused with its reason, and nothing moved."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ranker.catalogue import read_catalogue
from ranker.columns import as_flags
from ranker.logs import eligible_column
from scripts.formats.gates import GATES, GatesRecord
from tests.scripts.markets import policy_of

Call = Callable[..., subprocess.CompletedProcess[str]]
Change = Callable[[Path], None]
WEEK = ["-m", "scripts.weekly", "+debug=tiny", "fit=fast", "tracking.enabled=false", "publish.max_gap=0.01"]
WEEK += ["solve.price_ranges=false", "publish.floor=10"]
POLICY = policy_of(
    {"revenue": 1.0, "subs": 6.0}, 0.05, 0.2, "id: push_capacity, kind: volume, where: {surface: push}, max: 20%"
)
NEW, OLD = "fan_club", "merch"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    for file in folder.glob("*.parquet"):
        pq.write_table(change(pq.read_table(file)), file)


def replaced(table: pa.Table, name: str, column: object) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def nothing_came(company: Path) -> None:
    rewritten(company / "tables" / "outcomes", lambda table: table.slice(0, 0))


def every_row_twice(table: str) -> Change:
    return lambda company: rewritten(company / table, lambda rows: pa.concat_tables([rows, rows]))


def every_listener_twice(company: Path) -> None:
    """Under another id: no row is repeated."""

    def twice(rows: pa.Table) -> pa.Table:
        others = replaced(rows, "user_id", pc.add(rows["user_id"], 10_000_000))
        return pa.concat_tables([rows, others])

    for table in ("tables/users", "tables/exposures", "tables/outcomes", "users"):
        rewritten(company / table, twice)


def plays_ten_times_as_much(table: str) -> Change:
    def more(rows: pa.Table) -> pa.Table:
        kind = rows.schema.field("minutes_28d").type
        return replaced(rows, "minutes_28d", pc.multiply(rows["minutes_28d"], 10).cast(kind))

    return lambda company: rewritten(company / table, more)


def without_a_market(company: Path) -> None:
    rewritten(company / "users", lambda rows: rows.filter(pc.not_equal(rows["market"].cast(pa.string()), "SE")))


def some_of_a_new_market(company: Path) -> None:
    """Of the listeners whose id ends in 7, all their rows."""

    def moved(rows: pa.Table) -> pa.Table:
        is_moved = rows["user_id"].to_numpy() % 10 == 7
        return replaced(
            rows, "market", pa.array(np.where(is_moved, "ZZ", rows["market"].to_numpy(zero_copy_only=False)))
        )

    rewritten(company / "tables" / "users", moved)
    rewritten(company / "users", moved)


def without(product: str) -> Change:
    """The product is withdrawn: nobody can get it."""

    def withdraw(company: Path) -> None:
        actions = read_catalogue(company / "catalogue.json").actions
        gone_A = np.array([action["product"] == product for action in actions])
        assert gone_A.any()

        def barred(rows: pa.Table) -> pa.Table:
            eligible_RA = as_flags(rows["eligible"], len(actions)) & ~gone_A
            return replaced(rows, "eligible", pa.array(eligible_column(eligible_RA)))

        rewritten(company / "users", barred)

    return withdraw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad weeks")


@pytest.fixture(scope="module")
def market(call: Call, folder: Path) -> Path:
    """A market of which the product NEW is not launched yet; a good week of it is published."""
    (folder / "policy.yaml").write_text(POLICY)
    made = call("-m", "scripts.make_market", "users=800", "data.weeks=6", "seed=3", f"out={folder / 'market'}")
    assert made.returncode == 0, made.stderr
    without(NEW)(folder / "market")
    called = week(call, folder, "good", folder / "market")
    assert called.returncode == 0, called.stderr
    return folder / "market"


def week(call: Call, folder: Path, run: str, company: Path, *words: str) -> subprocess.CompletedProcess[str]:
    fixed = [f"runs={folder / 'runs'}", f"policy={folder / 'policy.yaml'}", f"run={run}", f"tables={company}"]
    return call(*WEEK, *fixed, "publish=true", *words)


def bad_week(call: Call, market: Path, name: str, change: Change, *words: str) -> subprocess.CompletedProcess[str]:
    company = market.parent / name
    shutil.copytree(market, company)
    change(company)
    return week(call, market.parent, name, company, *words)


@pytest.mark.parametrize(
    ("name", "change", "status", "told"),
    [
        ("zero", nothing_came, 2, "outcome"),
        ("exposures-twice", every_row_twice("tables/exposures"), 2, "rows repeat an earlier row"),
        ("users-twice", every_row_twice("users"), 2, "rows repeat an earlier user"),
        ("listeners-twice", every_listener_twice, 4, "table scored users: 1,600 rows after 800 in good"),
        ("logged-x10", plays_ten_times_as_much("tables/users"), 2, "column minutes_28d"),
        ("scored-x10", plays_ten_times_as_much("users"), 4, "feature minutes_28d: moved by"),
        ("no-sweden", without_a_market, 4, "market SE: has no listeners any more after"),
    ],
)
def test_a_bad_week_is_refused_with_its_reason(
    call: Call, market: Path, name: str, change: Change, status: int, told: str
) -> None:
    """2 where tables contradict themselves or their schema, or nothing can be learned; 4 where they are sound and the week is absurd."""
    runs = market.parent / "runs"
    before = (runs / "published.json").read_bytes()
    called = bad_week(call, market, name, change)
    assert called.returncode == status, called.stderr
    assert told in called.stderr
    assert "Traceback" not in called.stderr
    assert (runs / "published.json").read_bytes() == before
    if status == 4:
        kept = GatesRecord.from_file(runs / name / GATES)
        assert any(told in sentence for sentence in kept.refusals)
        assert kept.week == "good"


def test_a_week_that_everybody_agrees_on_is_published_in_spite_of_its_gates(call: Call, market: Path) -> None:
    words = ("publish.override=Kim", 'publish.reason="Sweden is closed."')
    called = bad_week(call, market, "closed", without_a_market, *words)
    assert called.returncode == 0, called.stderr
    runs = market.parent / "runs"
    pointer = json.loads((runs / "published.json").read_text())
    assert (pointer["run"], pointer["override"]["by"], pointer["override"]["reason"]) == (
        "closed",
        "Kim",
        "Sweden is closed.",
    )
    assert any("market SE" in refusal for refusal in pointer["override"]["refusals"])
    back = call("-m", "scripts.rollback", "to=good", f"runs={runs}")
    assert back.returncode == 0, back.stderr


def test_a_launched_and_a_withdrawn_product_pass(call: Call, market: Path) -> None:
    """The market's users, of whom nobody could get NEW, were made eligible for it again, and none for OLD."""
    made = market.parent / "relaunched"
    called = call("-m", "scripts.make_market", "users=800", "data.weeks=6", "seed=3", f"out={made}")
    assert called.returncode == 0, called.stderr
    without(OLD)(made)
    called = week(call, market.parent, "launch", made)
    assert called.returncode == 0, called.stderr
    runs = market.parent / "runs"
    offered = pd.concat(pd.read_parquet(file) for file in (runs / "launch" / "allocation").glob("*.parquet"))
    products = set(offered["action"].str.split("/").str[1])
    assert json.loads((runs / "published.json").read_text())["run"] == "launch"
    assert not any(OLD in product for product in products)
    back = call("-m", "scripts.rollback", "to=good", f"runs={runs}")
    assert back.returncode == 0, back.stderr


def test_a_market_never_seen_before_is_a_warning_and_not_the_end_of_the_week(call: Call, market: Path) -> None:
    """Values are not compared: what a model learns from 1,600 decisions may be worth anything."""
    values = ("publish.min_value=null", "publish.min_model_value=null")
    called = bad_week(call, market, "new-market", some_of_a_new_market, *values)
    assert called.returncode == 0, called.stderr
    assert "column market:" in called.stderr
    runs = market.parent / "runs"
    assert json.loads((runs / "published.json").read_text())["run"] == "new-market"
    scores = pd.concat(
        pd.read_parquet(file, columns=["market"]) for file in (runs / "new-market" / "scores").glob("*.parquet")
    )
    assert (scores["market"] == "ZZ").sum() == 80
    back = call("-m", "scripts.rollback", "to=good", f"runs={runs}")
    assert back.returncode == 0, back.stderr
