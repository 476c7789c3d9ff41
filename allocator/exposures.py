"""An allocation as rows of exposures: what was decided about every listener, nothing included, with its chance over all ways to it.

A listener without contacts was held out, drew nothing when exploring, or was chosen nothing:

    P(nothing) = P(held out) + P(explores) / (E + 1) + P(free) [whoever is free gets nothing]

with E eligible actions that may be given alone. For whoever was free that is what the allocation shows; for the others it is the best slate
at the final prices, or where that is empty the fallback, as for the chances of contacts (`assign.propensity`).

Axes: U users, N contacts, n users without contacts, A actions, H users who explore or are held out, K contacts
of a slate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from allocator.assign.fallback import assign_fallbacks
from allocator.assign.preassigned import place_contacts, preassign
from allocator.assign.propensity import counterfactual_slates
from allocator.policy.experiment import shares
from allocator.reopened import ReopenedProblem, reopen
from allocator.saved import SavedAllocation
from allocator.solve.solver import free_users
from allocator.users import EXPLORATION, FREE, HOLDOUT, NONE, PINNED
from ranker.files import InputError
from ranker.scores import Scores

NOTHING = "none"
ARMS = {FREE: "policy", HOLDOUT: "holdout", EXPLORATION: "exploration", PINNED: "policy"}
ROWS = 1_000_000
"""Users whose rows are made at once."""


@dataclass(frozen=True)
class Exposures:
    """What was decided: use `tables` to write it. unseen: contacts that were not shown; undecided: shown contacts that nobody decided.

    nothing: listeners who were decided to get nothing; untold: listeners of whose contacts none was shown, who have no row.
    """

    contacts: int
    nothing: int
    unseen: int
    undecided: int
    untold: int
    rows: pd.DataFrame
    eligible_UA: np.ndarray

    @property
    def left_out(self) -> tuple[str, ...]:
        """What has no row, in sentences."""
        told = (
            (self.unseen, "contacts were decided and not shown, and have no row"),
            (
                self.untold,
                "listeners were shown none of their contacts, and have no row: why they came by none is not known",
            ),
            (
                self.undecided,
                "contacts were shown that the allocation does not have, and have no row: their chance is not known",
            ),
        )
        return tuple(f"{count:,} {words}" for count, words in told if count)

    def tables(self) -> Iterator[pa.Table]:
        """Rows as the table `exposures` has them, a bounded number at a time."""
        for first in range(0, max(len(self.rows), 1), ROWS):
            part = self.rows.iloc[first : first + ROWS]
            flat = pa.array(self.eligible_UA[part["place"]].reshape(-1))
            eligible = pa.FixedSizeListArray.from_arrays(flat, self.eligible_UA.shape[1])
            columns = {name: pa.array(part[name]) for name in ("user_id", "decided_on", "action", "arm", "propensity")}
            yield pa.table({**columns, "eligible": eligible})


def exposures_of(
    scores: Scores, allocation: SavedAllocation, shown: pd.DataFrame | None = None, nothing: str = NOTHING
) -> Exposures:
    """Rows of exposures for every listener of an allocation.

    Args:
        scores: those that the allocation was made from; their `as_of` is the day of the decisions.
        allocation: a folder that `allocate` wrote.
        shown: contacts that were really shown, `user_id` and `action`. Without it every decided contact has a row, and effects learned
            from the rows are those of decisions; with it only shown ones have, and effects are those of contacts that are seen.
        nothing: the word for no action.

    Returns:
        A row per contact and per listener who was decided to get nothing, sorted by listener, and what was left out.

    Raises:
        InputError: the scores do not say which day they are for, or the allocation is not theirs.
    """
    day = scores.catalogue.as_of
    if day is None:
        raise InputError(
            [f"{scores.path}: as_of: is missing in the catalogue, so the day of the decisions is not known"]
        )
    opened, contacts = reopen(scores, allocation), allocation.contacts()
    data = opened.data
    place_N = pd.Index(data.user_id).get_indexer(contacts["user_id"])
    if (place_N < 0).any():
        raise InputError([f"{allocation.folder}: {(place_N < 0).sum():,} contacts are of users that the scores lack"])
    has_U = np.bincount(place_N, minlength=len(data)) > 0
    rows = contacts[["user_id", "action"]].assign(place=place_N, propensity=contacts["marginal_propensity"])
    seen_N, undecided = _seen(rows, shown)
    told_U = np.bincount(place_N[seen_N], minlength=len(data)) > 0
    place_n = np.flatnonzero(~has_U)
    chance_n = nothing_propensity(opened, contacts, place_N)[place_n]
    nobody = pd.DataFrame(
        {"user_id": data.user_id[place_n], "action": nothing, "place": place_n, "propensity": chance_n}
    )
    together = pd.concat([rows[seen_N], nobody], ignore_index=True).sort_values("place", kind="stable")
    arms = pd.Series(ARMS)
    together = together.assign(decided_on=day, arm=arms.loc[data.group_U[together["place"]]].to_numpy())
    return Exposures(
        contacts=int(seen_N.sum()),
        nothing=len(place_n),
        unseen=int((~seen_N).sum()),
        undecided=undecided,
        untold=int((has_U & ~told_U).sum()),
        rows=together.reset_index(drop=True),
        eligible_UA=data.eligible_UA,
    )


def _seen(rows: pd.DataFrame, shown: pd.DataFrame | None) -> tuple[np.ndarray, int]:
    """bool[N]: which contacts were shown; and how many contacts were shown that nobody decided."""
    if shown is None:
        return np.ones(len(rows), bool), 0
    kinds = [pd.api.types.is_integer_dtype(each["user_id"]) for each in (rows, shown)]
    if len(shown) and len(rows) and kinds[0] != kinds[1]:
        raise InputError(
            ["shown: column user_id: are numbers in one and text in the other of what was shown and the allocation"]
        )
    decided = pd.MultiIndex.from_frame(rows[["user_id", "action"]])
    really = pd.MultiIndex.from_frame(shown[["user_id", "action"]]).drop_duplicates()
    return decided.isin(really), int((~really.isin(decided)).sum())


def nothing_propensity(opened: ReopenedProblem, contacts: pd.DataFrame, place_N: np.ndarray) -> np.ndarray:
    """float64[U]: how likely each user was to get nothing. contacts: the allocation's, of users at place_N."""
    problem, data, drawn = opened.problem, opened.data, shares(opened.problem.policy)
    empty_U, pinned_U = _empty_if_free(opened, contacts, place_N)
    chance_U = np.empty(len(data))
    for shard in data.shards():
        alone_UA = problem.contact.alone(data.eligible_UA[shard], data.received_UC[shard], data.class_U[shard])
        explored_U = drawn.explores / (alone_UA.sum(axis=1) + 1)
        chance_U[shard] = drawn.held + np.where(pinned_U[shard], 0.0, explored_U + drawn.free * empty_U[shard])
    return chance_U


def _empty_if_free(
    opened: ReopenedProblem, contacts: pd.DataFrame, place_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """bool[U]: who would get nothing had he been free; and who would get pinned contacts."""
    problem, data = opened.problem, opened.data
    everyone = replace(data, group_U=np.where(data.group_U == HOLDOUT, FREE, data.group_U).astype(np.int8))
    pinned_U = preassign(problem, everyone)[0].group_U == PINNED
    asked = replace(data, group_U=np.where(data.group_U == HOLDOUT, EXPLORATION, data.group_U).astype(np.int8))
    users = free_users(problem, data, opened.preassigned.fixed)
    counterfactual = counterfactual_slates(replace(users, data=asked), opened.price_R)
    chosen_N = (contacts["source"] == "optimised").to_numpy()
    slate_UK = np.full((len(data), max(users.rules.most, 1)), NONE, np.int16)
    user_N, action_N = place_N[chosen_N], pd.Index(problem.catalogue.ids).get_indexer(contacts["action"][chosen_N])
    order_N = np.argsort(user_N, kind="stable")
    place_contacts(slate_UK, user_N[order_N], action_N[order_N])
    settled = assign_fallbacks(problem, asked, opened.preassigned, slate_UK, counterfactual).counterfactual
    empty_U = np.ones(len(data), bool)
    empty_U[place_N] = False
    empty_U[settled.user_E] = settled.slate_EK[:, 0] == NONE
    return empty_U, pinned_U
