"""The market after a week that somebody else decided, next to the same market that decided it itself."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ranker.columns import as_flags
from ranker.files import InputError
from ranker.market import answers, world
from ranker.market.given_weeks import joined
from ranker.market.next_week import write_next_week
from ranker.market.settings import MarketSettings
from ranker.market.truth import read_world
from ranker.market.week import NONE, lists

SEED = 7


@pytest.fixture(scope="module")
def settings(market) -> MarketSettings:
    return market.settings.model_copy(update={"users": 400, "weeks": 3, "truth": True})


def written(settings: MarketSettings, out: Path) -> Path:
    out.mkdir()
    world.write(settings, SEED, out)
    return out


def a_week_later(settings: MarketSettings, weeks: int = 1) -> MarketSettings:
    later = {"snapshot": settings.snapshot + timedelta(weeks=weeks), "weeks": settings.weeks + weeks}
    return settings.model_copy(update=later)


def rows(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def decided_on(market: Path, day: object) -> pa.Table:
    table = joined([rows(market / "tables" / "exposures")])
    return table.filter(pc.equal(table["decided_on"], pa.scalar(day, pa.date32())))


def test_decisions_of_its_own_policy_lead_where_it_would_have_gone_itself(
    settings: MarketSettings, tmp_path: Path
) -> None:
    whole = written(a_week_later(settings, 2), tmp_path / "whole")
    market = written(settings, tmp_path / "market-0")
    for week in (1, 2):
        known = read_world(market)
        market = tmp_path / f"market-{week}"
        market.mkdir()
        found = write_next_week(known, decided_on(whole, known.settings.snapshot), market)
        assert found.users == 400
    for folder in (
        "tables/users",
        "tables/exposures",
        "tables/outcomes",
        "users",
        "truth/given_all",
        "truth/given_observed",
    ):
        here, there = rows(market / folder), rows(whole / folder)
        assert here.column_names == there.column_names
        assert here.sort_by([(name, "ascending") for name in here.column_names[:2]]).equals(
            there.sort_by([(name, "ascending") for name in there.column_names[:2]])
        ), folder
    assert len(read_world(market).decided_elsewhere) == 2
    assert read_world(market).settings == read_world(whole).settings


def test_later_weeks_are_its_own(settings: MarketSettings, tmp_path: Path) -> None:
    whole = written(a_week_later(settings, 3), tmp_path / "whole")
    known = read_world(written(settings, tmp_path / "market"))
    (tmp_path / "later").mkdir()
    write_next_week(known, decided_on(whole, settings.snapshot), tmp_path / "later", weeks=3)
    keys = [("user_id", "ascending"), ("outcome", "ascending"), ("occurred_on", "ascending")]
    here, there = (rows(folder / "tables" / "outcomes").sort_by(keys) for folder in (tmp_path / "later", whole))
    assert here.equals(there)
    assert read_world(tmp_path / "later").decided_elsewhere == (settings.snapshot,)


def test_slates_wear_out_and_change_what_comes(settings: MarketSettings, tmp_path: Path) -> None:
    market = read_world(written(settings, tmp_path / "market"))
    alone = decided_on(written(a_week_later(settings), tmp_path / "whole"), settings.snapshot)
    both = [each["id"] for each in market.catalogue.actions if each["surface_kind"] == "messaging"][:1]
    both += [each["id"] for each in market.catalogue.actions if each["surface_kind"] == "discovery"][:1]
    slates = pa.concat_tables(
        [alone.set_column(2, "action", pa.array([action] * len(alone), pa.string())) for action in both]
    )
    (tmp_path / "next").mkdir()
    write_next_week(market, slates, tmp_path / "next")
    users = rows(tmp_path / "next" / "users")
    assert set(users["contacts_28d"].to_pylist()) <= {1, 2, 3, 4}, "nobody was left without a contact"
    assert min(users["messages_28d"].to_pylist()) >= 1
    shown = decided_on(tmp_path / "next", settings.snapshot)
    assert len(shown) == 2 * len(alone)
    assert shown.group_by("user_id").aggregate([("action", "count")])["action_count"].to_pylist() == [2] * len(alone)


def test_decisions_among_fewer_actions_are_the_markets_too(settings: MarketSettings, tmp_path: Path) -> None:
    """A company does not offer yet what the market could be offered."""
    market = read_world(written(settings, tmp_path / "market"))
    made = decided_on(written(a_week_later(settings), tmp_path / "whole"), settings.snapshot)
    ids = market.catalogue.ids
    fewer = [name for name in ids if name not in ids[1:3]]
    kept = made.filter(pc.is_in(made["action"], pa.array([*fewer, NONE])))
    flags_NA = as_flags(kept["eligible"], len(ids))
    assert flags_NA[:, 1:3].any()
    place = kept.schema.get_field_index("eligible")
    narrow = kept.set_column(place, "eligible", lists(np.delete(flags_NA, [1, 2], axis=1)))
    (tmp_path / "next").mkdir()
    write_next_week(market, narrow, tmp_path / "next", actions=fewer)
    shown = decided_on(tmp_path / "next", settings.snapshot)
    assert shown["action"].to_pylist() == kept["action"].to_pylist()
    found_NA = as_flags(shown["eligible"], len(ids))
    assert not found_NA[:, 1:3].any()
    np.testing.assert_array_equal(np.delete(found_NA, [1, 2], axis=1), np.delete(flags_NA, [1, 2], axis=1))
    with pytest.raises(InputError, match="1 actions are not the market's, such as push/balloon"):
        write_next_week(market, narrow, tmp_path / "next", actions=["push/balloon", *fewer[1:]])


def test_effects_of_a_slate_add_up_on_the_logit_and_cannibals_lose(market, day_one) -> None:
    people, _, at = day_one
    offers = [np.flatnonzero(offered_A[:-1])[0] for offered_A, _ in market.answers.cannibal]
    other = next(
        a for a in range(len(market.catalogue.ids)) if not any(offered_A[a] for offered_A, _ in market.answers.cannibal)
    )

    def logits(*slate: int) -> np.ndarray:
        slate_UL = np.tile(slate, (len(people), 1))
        chance = answers.chances(market.answers, at, slate_UL, people.z_U)["subs"].astype(float)
        return np.log(chance / (1 - chance))

    none = len(market.catalogue.ids)
    base = logits(none)
    first, second, third = (logits(action) - base for action in (*offers, other))
    np.testing.assert_allclose(logits(offers[0], other) - base, first + third, atol=2e-5)
    np.testing.assert_allclose(logits(offers[0], none) - base, first, atol=2e-5)
    factor = market.answers.factor
    kept = [np.where(lately_U, 1.0, factor) for lately_U in at.lately_2U]
    np.testing.assert_allclose(logits(*offers) - base, kept[0] * first + kept[1] * second, atol=2e-5)


def test_decisions_of_another_day_or_market_are_refused(settings: MarketSettings, tmp_path: Path) -> None:
    market = read_world(written(settings, tmp_path / "market"))
    early = decided_on(tmp_path / "market", settings.snapshot - timedelta(weeks=1))
    (tmp_path / "next").mkdir()
    with pytest.raises(InputError, match="and the decisions are of"):
        write_next_week(market, early, tmp_path / "next")
    place = early.column_names.index("decided_on")
    today = early.set_column(place, "decided_on", pa.array([settings.snapshot] * len(early), pa.date32()))
    strange = today.set_column(2, "action", pa.array(["push/balloon", *[NONE] * (len(early) - 1)], pa.string()))
    with pytest.raises(InputError, match="1 actions are not the market's, such as push/balloon"):
        write_next_week(market, strange, tmp_path / "next")
