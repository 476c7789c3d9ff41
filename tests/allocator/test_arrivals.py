"""Users who arrive between two runs: at the week's prices those of the allocation get the same again, and the rules for one user hold."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.allocate import Allocation, allocate
from allocator.arrivals import PricedWeek
from allocator.formats import PriceBook
from allocator.solve.settings import SolveSettings
from ranker.files import InputError
from ranker.scores import HeldScores, Scores, open_scores
from tests.allocator.instances import AS_OF, CONTACT, OBJECTIVE, write_scores

USERS = 60_000
RULES = (
    OBJECTIVE
    + CONTACT
    + """  - {id: books_in_a_month, max: 1, days: 28, where: {product: books}}
eligibility:
  - {id: no_family, forbid: {product: family}, users: {market: SE}}
constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 10%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 2700}
  - {id: books, kind: volume, where: {product: books}, min: 20%, users: {market: NO}}
  - {id: opt_outs, kind: average, metric: opt_out, max: 0.0009}
  - {id: duo, kind: reach, where: {product: duo}, max: 30%}
  - {id: each_market, kind: volume, where: {surface: home}, each: market, max: 60%}
experiment:
  holdout: {share: 0.05, salt: h}
  exploration: {share: 0.05, salt: e}
"""
)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """With books that a tenth of the users were offered two weeks ago."""
    folder = write_scores(tmp_path_factory.mktemp("arrivals") / "scores", USERS, 3)
    ids = pq.read_table(folder / "part-00000.parquet", columns=["user_id"]).column("user_id").to_numpy()[::10]
    (folder / "history").mkdir()
    days = [AS_OF - timedelta(14)] * len(ids)
    rows = {"user_id": ids, "action": ["home_1/books"] * len(ids), "date": pa.array(days, pa.date32())}
    pq.write_table(pa.table(rows), folder / "history" / "part.parquet")
    return open_scores(folder)


@pytest.fixture(scope="module")
def allocation(scores: Scores, tmp_path_factory: pytest.TempPathFactory) -> Allocation:
    policy = tmp_path_factory.mktemp("arrivals") / "policy.yaml"
    policy.write_text(RULES)
    folder = policy.parent / "allocation"
    folder.mkdir()
    return allocate(scores, policy, SolveSettings(gap=1e-6), folder=folder)


@pytest.fixture(scope="module")
def week(allocation: Allocation) -> PricedWeek:
    return PricedWeek.read(allocation.folder)


@pytest.fixture(scope="module")
def history(scores: Scores) -> pa.Table:
    return pq.read_table(scores.path / "history" / "part.parquet")


@pytest.fixture(scope="module")
def held(scores: Scores) -> HeldScores:
    return HeldScores.of(pq.read_table(scores.files[0]), scores.catalogue)


@pytest.fixture(scope="module")
def decided(week: PricedWeek, held: HeldScores, history: pa.Table) -> pd.DataFrame:
    return week.decide(held, history).to_pandas()


def slates(rows: pd.DataFrame) -> dict[int, tuple[str, ...]]:
    return rows.groupby("user_id")["action"].agg(lambda actions: tuple(sorted(actions))).to_dict()


def test_those_who_are_in_the_allocation_get_the_same_again(
    decided: pd.DataFrame, allocation: Allocation, held: HeldScores
) -> None:
    given, again = slates(allocation.contacts()), slates(decided)
    ids = held.table.column("user_id").to_pylist()
    assert np.mean([given.get(user) == again.get(user) for user in ids]) >= 0.999
    assert len(given) > 0.5 * len(ids)
    both = allocation.contacts().merge(decided, on=["user_id", "action"], suffixes=("", "_again"))
    assert (both["source"] == both["source_again"]).all() and {"optimised", "exploration"} <= set(both["source"])
    assert both["value_again"].to_numpy() == pytest.approx(both["value"].to_numpy())


def test_each_alone_gets_what_it_gets_among_all(
    decided: pd.DataFrame, week: PricedWeek, held: HeldScores, history: pa.Table
) -> None:
    expected = slates(decided)
    for place in range(0, 200, 5):
        alone = HeldScores.of(held.table.slice(place, 1), held.catalogue)
        (user,) = alone.table.column("user_id").to_pylist()
        assert slates(week.decide(alone, history).to_pandas()).get(user) == expected.get(user)


def test_contacts_of_earlier_days_count_where_they_are_told(
    decided: pd.DataFrame, week: PricedWeek, held: HeldScores, history: pa.Table
) -> None:
    had = set(history.column("user_id").to_pylist())
    free = decided[decided["source"] == "optimised"]
    assert not free.loc[free["user_id"].isin(had), "action"].str.endswith("/books").any()
    forgotten = week.decide(held).to_pandas()
    assert forgotten.loc[forgotten["user_id"].isin(had), "action"].str.endswith("/books").any()


def test_a_market_that_the_week_did_not_have_is_one_that_no_rule_names(week: PricedWeek, held: HeldScores) -> None:
    table = held.table.slice(0, 50)
    place = table.schema.get_field_index("market")
    elsewhere = table.set_column(place, "market", pa.array(["FI"] * 50))
    found = week.decide(HeldScores.of(elsewhere, held.catalogue)).to_pandas()
    assert len(found) > 20


def test_prices_of_another_policy_are_refused(week: PricedWeek, allocation: Allocation) -> None:
    book = json.loads((allocation.folder / "prices.json").read_text())
    assert week.at(PriceBook.model_validate(book)).book == week.book
    with pytest.raises(InputError, match="another policy"):
        week.at(PriceBook.model_validate({**book, "policy_digest": "0"}))


def test_a_contact_after_the_week_began_is_told(week: PricedWeek, held: HeldScores) -> None:
    later = pa.table({"user_id": [3], "action": ["home_1/duo"], "date": pa.array([AS_OF + timedelta(1)], pa.date32())})
    with pytest.raises(InputError, match="1 contacts are later"):
        week.decide(held, later)


BOOKS_ARE_WORTH_NOTHING = """version: 1
objective:
  - {metric: subs, weight: 1.0, times: discount_eur}
eligibility:
  - {id: books_alone, forbid: {product: [duo, family]}, users: {market: SE}}
fallback: {action: [picker_2/books, home_1/books]}
constraints:
  - {id: slot, kind: volume, where: {slot: SLOT}, max: 10%}
"""


@pytest.mark.parametrize(
    ("slot", "given"), [("push_1", {"picker_2/books", "home_1/books"}), ("picker_2", {"home_1/books"})]
)
def test_who_is_chosen_nothing_gets_a_fallback_that_uses_nothing_with_a_price(
    slot: str, given: set[str], tmp_path: Path
) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 2_000, 3))
    (tmp_path / "policy.yaml").write_text(BOOKS_ARE_WORTH_NOTHING.replace("SLOT", slot))
    (tmp_path / "allocation").mkdir()
    made = allocate(scores, tmp_path / "policy.yaml", SolveSettings(gap=1e-5), folder=tmp_path / "allocation")
    assert made.certificate.constraints[0].price > 0
    held = HeldScores.of(pq.read_table(scores.files[0]), scores.catalogue)
    found = PricedWeek.read(tmp_path / "allocation").decide(held).to_pandas()
    assert set(found.loc[found["source"] == "fallback", "action"]) == given
