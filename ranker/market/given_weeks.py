"""Weeks of the market that somebody else decided: their rows of exposures, by day and listener.

Axes: U users (listeners of one chunk), N contacts of a day, L contacts of a slate, A actions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker.catalogue import Catalogue
from ranker.columns import as_flags
from ranker.files import InputError
from ranker.market.week import NONE, lists

COLUMNS = ("user_id", "decided_on", "action", "arm", "propensity", "eligible")


@dataclass(frozen=True)
class GivenWeeks:
    """days: day -> its rows, sorted by listener."""

    days: Mapping[date, pa.Table]

    @classmethod
    def of(cls, exposures: pa.Table, catalogue: Catalogue, place: str) -> "GivenWeeks":
        """exposures: rows of all days, in the columns of a market's. place: what errors call them. Raises InputError."""
        unknown = set(pc.unique(exposures["action"]).to_pylist()) - {*catalogue.ids, NONE}
        if unknown:
            raise InputError(
                [
                    f"{place}: column action: {len(unknown)} actions are not the market's, such as {min(unknown, key=str)}"
                ]
            )
        table = exposures.select(list(COLUMNS)).sort_by("user_id")
        days = sorted(pc.unique(table["decided_on"]).to_pylist())
        return cls({day: table.filter(pc.equal(table["decided_on"], pa.scalar(day, pa.date32()))) for day in days})

    def decided(self, day: date, user_id: np.ndarray, catalogue: Catalogue) -> tuple[pa.Table, np.ndarray]:
        """The rows of that day for consecutive listeners, and int[U, L]: the contacts of each, padded with none (A)."""
        rows = self.days[day]
        ids = rows["user_id"].to_numpy()
        part = rows.slice(
            first := int(np.searchsorted(ids, user_id[0])), int(np.searchsorted(ids, user_id[-1] + 1)) - first
        )
        none = len(catalogue.ids)
        place = {name: position for position, name in enumerate((*catalogue.ids, NONE))}
        action_N = np.array([place[name] for name in part["action"].to_pylist()], np.int64)
        user_N = np.searchsorted(user_id, part["user_id"].to_numpy())
        rank_N = np.arange(len(user_N)) - np.searchsorted(user_N, user_N, "left")
        slate_UL = np.full((len(user_id), int(rank_N.max(initial=0)) + 1), none)
        slate_UL[user_N, rank_N] = action_N
        return part, slate_UL


NO_WEEKS = GivenWeeks({})


def in_the_markets_actions(exposures: pa.Table, actions: Sequence[str], catalogue: Catalogue) -> pa.Table:
    """Rows whose flags of `eligible` are of these actions, with flags of all that the market has: for the others nobody is eligible.

    Raises InputError where the market lacks one of the actions.
    """
    if tuple(actions) == tuple(catalogue.ids):
        return exposures
    if unknown := [name for name in actions if name not in catalogue.ids]:
        raise InputError([f"scores: {len(unknown)} actions are not the market's, such as {unknown[0]}"])
    flags_NA = np.zeros((len(exposures), len(catalogue.ids)), bool)
    flags_NA[:, [catalogue.ids.index(name) for name in actions]] = as_flags(exposures["eligible"], len(actions))
    place = exposures.schema.get_field_index("eligible")
    return exposures.set_column(place, "eligible", lists(flags_NA))


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Rows of several files, whose lists and texts may be of different kinds, in those of the first."""
    found = [table.select(list(COLUMNS)) for table in tables]
    return pa.concat_tables([table.cast(found[0].schema) for table in found])
