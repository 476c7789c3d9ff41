"""The market some weeks later: its own tables with the week that an allocation decided, and what came of it.

All weeks are lived again with the dice of the market, so that outcomes of earlier weeks that were not recorded yet come in, and the later
ones depend on what was shown. Weeks that the logging policy decided are decided again; the others are read from the exposures.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from ranker.files import InputError, parquet_table, some_parquet_files
from ranker.market import world
from ranker.market.given_weeks import COLUMNS, GivenWeeks, in_the_markets_actions, joined
from ranker.market.settings import MarketSettings
from ranker.market.truth import MarketTruth


def write_next_week(
    market: MarketTruth,
    exposures: pa.Table,
    out: Path,
    advance: Callable[[int], object] | None = None,
    weeks: int = 1,
    actions: Sequence[str] | None = None,
) -> world.Summary:
    """Writes the market as it is some weeks after its snapshot.

    Args:
        market: with its truth, by `ranker.market.truth.read_world`.
        exposures: what was decided on the day of its snapshot, in the columns of the table.
        out: an existing, empty folder.
        advance: is called with the number of listeners just finished.
        weeks: how many; those after the first are decided by the market's own policy.
        actions: those that the flags of `eligible` are of, where the decisions were among fewer than the market has.

    Returns:
        What was written.

    Raises:
        InputError: the decisions are of another day or of actions that the market does not have, or it has had its year.
    """
    settings = market.settings
    days = pc.unique(exposures["decided_on"]).to_pylist()
    if days != [settings.snapshot]:
        told = ", ".join(str(day) for day in sorted(days, key=str)) or "no day"
        raise InputError([f"{market.path}: was taken on {settings.snapshot}, and the decisions are of {told}"])
    try:
        later = MarketSettings.model_validate(
            settings.model_dump()
            | {"snapshot": settings.snapshot + timedelta(weeks=weeks), "weeks": settings.weeks + weeks}
        )
    except ValidationError:
        raise InputError(
            [f"{market.path}: has {settings.weeks} weeks, and {weeks} more are too many: 52 are the most"]
        ) from None
    if actions is not None:
        exposures = in_the_markets_actions(exposures, actions, market.catalogue)
    given = GivenWeeks.of(joined([*_given_before(market), exposures]), market.catalogue, "exposures")
    return world.write(later, market.seed, out, advance, given)


def _given_before(market: MarketTruth) -> list[pa.Table]:
    """Exposures of the market's weeks that somebody else decided."""
    days = pc.field("decided_on").isin(list(market.decided_elsewhere))
    files = some_parquet_files(market.path / "tables" / "exposures")
    return [parquet_table(file, COLUMNS).filter(days) for file in files]
