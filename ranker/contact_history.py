"""What logs know of a user's other contacts: by features declared to tell of them, and by the user's other decisions in the logs.

Axes: R rows, A actions (catalogue order), V values of one attribute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import (
    Field,
    Strict,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    with_config,
)

from ranker.files import fault, told, values_at

WEEK = 7
DAYS = 28
MOST_DAYS = 10_000
"""What any number of days may be: 27 years; beyond it dates end."""


SomeDays = Annotated[int, Strict(), Field(ge=1, le=MOST_DAYS)]


def _a_numeric_feature(value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
    """Where a schema of logs is read, and so its numeric features are known."""
    if info.context is None or value in list(values_at(info.context, "whole", "features", "numeric", "*")):
        return handler(value)
    raise fault(f"'{value}' is none of the numeric features")


@with_config(extra="forbid")
@dataclass(frozen=True)
class Since:
    """A feature that tells how long ago actions `where` (attribute -> value) were offered last, in units of `days`; missing: never."""

    column: Annotated[str, WrapValidator(_a_numeric_feature)]
    where: Annotated[Mapping[str, object], Field(min_length=1), told('must be an object like {"product": "books"}')]
    days: Annotated[SomeDays, told("must be a whole number of days, those that one unit of the column stands for")]


ONE_SINCE = '{"column": "weeks_since_books", "where": {"product": "books"}, "days": 7}'


@with_config(extra="forbid")
@dataclass(frozen=True)
class HistoryColumns:
    """Numeric features that tell of earlier contacts. contacts: counts those of the last `days` days."""

    days: Annotated[SomeDays, told("must be a whole number of days")] = DAYS
    contacts: Annotated[
        str | None, WrapValidator(_a_numeric_feature), Field(exclude_if=lambda contacts: contacts is None)
    ] = None
    since: Annotated[
        tuple[Annotated[Since, told(f"must be an object like {ONE_SINCE}")], ...],
        told("must be a list"),
    ] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (*((self.contacts,) if self.contacts else ()), *(each.column for each in self.since))


@dataclass(frozen=True)
class OtherContacts:
    """values: of an attribute, V of them. value_A: position of each action's, -1 for none. contacts_R: contacts of the last `days` days.
    lately_RV: whether each value was offered in these days, but not in the last week unless a feature tells; where the logs do not reach
    back that far, the share of the rows where they do. same_week_RV: whether it was offered in another decision less than a week away.
    """

    days: int
    values: tuple[object, ...]
    value_A: np.ndarray
    contacts_R: np.ndarray
    lately_RV: np.ndarray
    same_week_RV: np.ndarray

    def take(self, rows: np.ndarray) -> "OtherContacts":
        return OtherContacts(
            self.days, self.values, self.value_A,
            self.contacts_R[rows], self.lately_RV[rows], self.same_week_RV[rows],
        )  # fmt: skip


def other_contacts(
    frame: pd.DataFrame,
    history: HistoryColumns | None,
    actions: Sequence[Mapping[str, object]],
    attribute: str,
) -> OtherContacts | None:
    """Of every row of logs (columns user_id, as_of, action and the features).

    None where neither features nor other rows tell, or no action has the attribute.
    """
    declared = HistoryColumns() if history is None else history
    values = tuple(dict.fromkeys(action[attribute] for action in actions if action.get(attribute) is not None))
    value_A = np.array(
        [values.index(action[attribute]) if action.get(attribute) in values else -1 for action in actions]
    )
    if not values:
        return None
    ids = pd.Index([str(action["id"]) for action in actions])
    action_R = ids.get_indexer(frame["action"])
    value_R = np.where(action_R < 0, -1, value_A[action_R])
    own = _own_rows(frame, declared.days, action_R >= 0, value_R, len(values))
    day_R = frame["as_of"].to_numpy("datetime64[D]")
    whole_R = day_R - day_R.min() >= np.timedelta64(declared.days, "D")
    contacts_R, lately_RV = _where_whole(own.contacts_R, whole_R), _where_whole(own.lately_RV, whole_R)
    if declared.contacts is not None:
        told_R = frame[declared.contacts].to_numpy(np.float32)
        known_R = np.isfinite(told_R)
        contacts_R = np.where(known_R, told_R, told_R[known_R].mean()) if known_R.any() else contacts_R
    for each in declared.since:
        if each.where.keys() == {attribute} and each.where[attribute] in values:
            ago_R = frame[each.column].to_numpy(np.float32) * each.days
            lately_RV[:, values.index(each.where[attribute])] = ago_R <= declared.days  # a missing value is not
    if not (contacts_R.any() or lately_RV.any() or own.same_week_RV.any()):
        return None
    return OtherContacts(declared.days, values, value_A, contacts_R, lately_RV, own.same_week_RV)


@dataclass(frozen=True)
class _Own:
    """What the other rows of the same user tell."""

    contacts_R: np.ndarray
    lately_RV: np.ndarray
    same_week_RV: np.ndarray


def _own_rows(frame: pd.DataFrame, days: int, contacted_R: np.ndarray, value_R: np.ndarray, values: int) -> _Own:
    rows = len(frame)
    own = _Own(np.zeros(rows, np.float32), np.zeros((rows, values), np.float32), np.zeros((rows, values), bool))
    day_R = frame["as_of"].to_numpy("datetime64[D]").astype(np.int64)
    user_R = pd.factorize(frame["user_id"])[0]
    order_R = np.lexsort((day_R, user_R))
    place_r = np.arange(
        rows
    )  # in that order; whoever is too far from the row `lag` before is too far from all before it
    for lag in range(1, rows):
        place_r = place_r[place_r >= lag]
        later, earlier = order_R[place_r], order_R[place_r - lag]
        apart = day_R[later] - day_R[earlier]
        near = (user_R[later] == user_R[earlier]) & (apart <= days)
        if not near.any():
            break
        place_r, later, earlier, apart = place_r[near], later[near], earlier[near], apart[near]
        before = (apart >= WEEK) & contacted_R[earlier]
        np.add.at(own.contacts_R, later[before], 1)
        before &= value_R[earlier] >= 0
        own.lately_RV[later[before], value_R[earlier[before]]] = 1
        for here, there in ((later, earlier), (earlier, later)):
            beside = (apart < WEEK) & (value_R[there] >= 0)
            own.same_week_RV[here[beside], value_R[there[beside]]] = True
    return own


def _where_whole(told: np.ndarray, whole_R: np.ndarray) -> np.ndarray:
    """As told where the days before are all in the logs, elsewhere the mean of those."""
    if not whole_R.any():
        return np.zeros_like(told)
    return np.where(whole_R.reshape(-1, *[1] * (told.ndim - 1)), told, told[whole_R].mean(axis=0))
