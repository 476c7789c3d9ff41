"""Policies compared by real allocations of all users: certified, audited, and forgotten with the answer.

Axes: N contacts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from allocator.allocate import Allocation, allocate
from allocator.formats import ConstraintRecord
from allocator.policy.grammar import Policy
from allocator.solve.settings import SolveSettings
from allocator.workbench.answers import Cell, ConstraintAnswer, DifferenceAnswer, MeanAndError, PolicyAnswer
from allocator.workbench.session import Session
from allocator.workbench.telling import TellingStopwatch
from ranker.scores import Scores


@dataclass(frozen=True)
class FullPolicy:
    """An allocation of all users, as answers speak of it."""

    made: Allocation

    @cached_property
    def contacts(self) -> pd.DataFrame:
        """user_id, action, sorted."""
        return self.made.contacts()[["user_id", "action"]].sort_values(["user_id", "action"], ignore_index=True)

    def answer(self) -> PolicyAnswer:
        held = self.made.certificate
        return PolicyAnswer(
            value=held.value,
            value_se=0.0,
            value_model_se=held.value_se,
            contacts=held.contacts,
            contacts_se=0.0,
            metrics={name: each.total for name, each in held.metrics.items()},
            metrics_se=dict.fromkeys(held.metrics, 0.0),
            metrics_model_se={name: each.se for name, each in held.metrics.items()},
            constraints={each.id: _constraint(each) for each in held.constraints},
        )


def solved_in_full(session: Session, policy: Policy) -> FullPolicy:
    """An allocation of all users under an active policy. Raises Infeasible, InputError."""
    session.tell("solving for all users")
    settings = SolveSettings(gap=session.gap, price_ranges=False)
    watch = TellingStopwatch(session.tell)
    return FullPolicy(allocate(session.scores, policy, settings, previous=session.previous, progress=watch))


def _constraint(record: ConstraintRecord) -> ConstraintAnswer:
    return ConstraintAnswer(
        kind=record.kind,
        label=record.label,
        unit=record.unit or "",
        min=record.min,
        max=record.max,
        achieved=record.achieved,
        se=0.0,
        binding=record.binding,
        price=record.price,
    )


def users_moved(base: FullPolicy, new: FullPolicy) -> int:
    """How many users' contacts, as a set, differ."""
    return len(_moved(base, new))


def _moved(base: FullPolicy, new: FullPolicy) -> pd.Index:
    both = base.contacts.merge(new.contacts, how="outer", indicator=True)
    return pd.Index(both.loc[both["_merge"] != "both", "user_id"].unique())


def compared_in_full(scores: Scores, base: FullPolicy, new: FullPolicy) -> tuple[DifferenceAnswer, tuple[Cell, ...]]:
    """The differences, exactly, and by product, surface and segment value."""
    before, after = base.made.certificate, new.made.certificate
    difference = DifferenceAnswer(
        value=_exactly(after.value - before.value),
        contacts=_exactly(after.contacts - before.contacts),
        metrics={name: _exactly(each.total - before.metrics[name].total) for name, each in after.metrics.items()},
        users_moved=_exactly(users_moved(base, new)),
    )
    return difference, tuple(_cells(scores, base, new))


def _exactly(amount: float) -> MeanAndError:
    return MeanAndError(mean=float(amount), se=0.0)


def _cells(scores: Scores, base: FullPolicy, new: FullPolicy) -> list[Cell]:
    actions = pd.DataFrame(
        [
            {
                "action": each["id"],
                "product": str(each.get("product", each["id"])),
                "surface": str(each.get("surface", each.get("slot", ""))),
            }
            for each in scores.catalogue.actions
        ]
    )
    rows = pd.concat([new.contacts.assign(count=1), base.contacts.assign(count=-1)], ignore_index=True)
    net = rows.groupby(["user_id", "action"], as_index=False)["count"].sum().query("count != 0").merge(actions)
    found = [_cell(product, surface, "", "", count) for (product, surface), count in _sums(net, []).items()]
    codes = _segments(scores, net["user_id"])
    for name in codes.columns:
        sums = _sums(net.assign(value=codes[name].to_numpy()), ["value"])
        found += [_cell(product, surface, name, value, count) for (product, surface, value), count in sums.items()]
    return found


def _sums(net: pd.DataFrame, more: list[str]) -> dict[tuple[str, ...], float]:
    sums = net.groupby(["product", "surface", *more], observed=True)["count"].sum()
    return {key: float(count) for key, count in sums.items() if count}


def _cell(product: str, surface: str, segment: str, value: str, count: float) -> Cell:
    contacts = MeanAndError(mean=count, se=0.0)
    return Cell(product=product, surface=surface, segment=segment, segment_value=value, contacts=contacts)


def _segments(scores: Scores, user_id: pd.Series) -> pd.DataFrame:
    """The segment values of these users, in their order."""
    names = list(scores.vocabulary)
    frames = []
    wanted = pd.Index(user_id.unique())
    for shard in scores.shards(check=False, planes=()):
        ids = pd.Index(shard.user_id.to_numpy(zero_copy_only=False))
        at = np.flatnonzero(ids.isin(wanted))
        values = {name: np.asarray(scores.vocabulary[name])[shard.segments[name][at]] for name in names}
        frames.append(pd.DataFrame(values, index=ids[at], columns=names))
    return pd.concat(frames).loc[user_id] if frames else pd.DataFrame(index=user_id)
