"""Chances of nothing are the frequencies with which users get nothing when holdout and exploration are drawn again and again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from allocator.allocate import allocate
from allocator.exposures import exposures_of
from allocator.saved import SavedAllocation, read_allocation
from allocator.solve.settings import SolveSettings
from ranker.files import InputError
from ranker.scores import Scores, open_scores
from tests.allocator.instances import AS_OF, CONTACT, OBJECTIVE, write_scores

HELD, EXPLORES = 0.1, 0.3
RULES = """risk: {z: 3.1}
pinned: [{id: welcome, users: {market: "NO"}, action: push_1/duo}]
fallback: {action: [home_1/books, push_1/books], users: {market: SE}}
"""
TIMES = 80


def policy(time: int, rules: str = RULES) -> str:
    groups = (("holdout", HELD), ("exploration", EXPLORES))
    drawn = "".join(f"  {name}: {{share: {share}, salt: {name}{time}}}\n" for name, share in groups)
    return f"{OBJECTIVE}experiment:\n{drawn}{rules}{CONTACT}"


def allocated(scores: Scores, folder: Path, text: str) -> SavedAllocation:
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(text)
    allocate(scores, folder / "policy.yaml", SolveSettings(price_ranges=False), folder=folder)
    return read_allocation(folder)


def ids_of(scores: Scores) -> list[int]:
    return next(iter(scores.shards())).user_id.to_pylist()


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("exposures") / "scores", 60, 4, stderr=True))


@pytest.mark.slow
def test_nothing_is_as_frequent_as_is_said(scores: Scores, tmp_path: Path) -> None:
    count, chance = pd.Series(0, ids_of(scores)), pd.Series(np.nan, ids_of(scores))
    for time in range(TIMES):
        rows = exposures_of(scores, allocated(scores, tmp_path / f"{time}", policy(time))).rows
        nothing = rows[rows["action"] == "none"].set_index("user_id")["propensity"]
        known = chance[nothing.index].notna()
        assert (chance[nothing.index][known] == nothing[known]).all(), "whatever the draw"
        chance[nothing.index] = nothing
        count[nothing.index] += 1
    expected = chance.fillna(0.0)
    deviation = np.sqrt(TIMES * expected * (1 - expected)) + 1e-9
    assert (np.abs(count - TIMES * expected) < 4 * deviation + 1).all()
    assert chance.round(3).nunique() > 3, "held out alone, exploring too, chosen nothing, pinned"


def test_one_contact_or_nothing_is_certain(scores: Scores, tmp_path: Path) -> None:
    """With one slate of one contact, the chances of everything that may be shown and of nothing add up to one."""
    alone = "contact: [{id: total, max: 1}]\n"
    text = policy(1, "").replace(CONTACT, alone)
    found = exposures_of(scores, allocated(scores, tmp_path / "one", text))
    rows = found.rows
    explored = (1 - HELD) * EXPLORES / (found.eligible_UA[rows["place"]].sum(axis=1) + 1)
    chosen = rows["arm"] == "policy"
    others = np.where(rows["action"] == "none", 0.0, HELD + explored)
    others += explored * (found.eligible_UA[rows["place"]].sum(axis=1) - (rows["action"] != "none"))
    np.testing.assert_allclose((rows["propensity"] + others)[chosen], 1.0)
    assert len(rows) == 60


def test_rows_are_a_table_of_exposures(scores: Scores, tmp_path: Path) -> None:
    allocation = allocated(scores, tmp_path / "week", policy(1))
    found = exposures_of(scores, allocation)
    table = pa.concat_tables(found.tables())
    contacts = allocation.contacts()
    shown = table.filter(pa.compute.not_equal(table["action"], "none")).to_pandas()
    assert len(shown) == len(contacts) == found.contacts
    both = shown.merge(contacts, on=["user_id", "action"], suffixes=("", "_of_contact"))
    assert (both["propensity"] == both["marginal_propensity"]).all()
    assert set(shown.loc[shown["arm"] == "exploration", "user_id"]) == set(
        contacts.loc[contacts["source"] == "exploration", "user_id"]
    )
    assert set(table["user_id"].to_pylist()) == set(ids_of(scores)), "everybody has a row"
    assert not set(shown["user_id"]) & set(
        table.filter(pa.compute.equal(table["action"], "none"))["user_id"].to_pylist()
    )
    assert set(table["decided_on"].to_pylist()) == {AS_OF}
    assert (np.stack(table["eligible"].to_pylist()) == found.eligible_UA[found.rows["place"]]).all()


def test_what_was_not_shown_has_no_row(scores: Scores, tmp_path: Path) -> None:
    allocation = allocated(scores, tmp_path / "week", policy(1))
    contacts = allocation.contacts()
    shown = pd.concat([contacts.iloc[::2], contacts.iloc[:1].assign(action="picker_2/books")])
    found = exposures_of(scores, allocation, shown[["user_id", "action"]])
    assert (found.contacts, found.unseen, found.undecided) == (len(contacts.iloc[::2]), len(contacts.iloc[1::2]), 1)
    everybody = exposures_of(scores, allocation)
    assert found.nothing == everybody.nothing, "who was decided to get nothing saw nothing"
    assert found.untold == len(set(contacts["user_id"]) - set(contacts.iloc[::2]["user_id"]))


def test_the_day_must_be_known(scores: Scores, tmp_path: Path) -> None:
    allocation = allocated(scores, tmp_path / "week", policy(1))
    undated = replace(scores, catalogue=replace(scores.catalogue, as_of=None))
    with pytest.raises(InputError, match="as_of: is missing"):
        exposures_of(undated, allocation)
