"""Carryover: the effect of earlier contacts on single users, where features tell of them.

    effect[u, a] = (effect[u at an average history, a] + growth (contacts[u] - average))
                   * kept^(contacts[u] - average) * product over offers j made lately to u of kept[a, j]

on the scale of the link. Factors and growth are those of `fatigue_and_cannibalisation`. A factor multiplies the whole effect on every
outcome; the linear path alone could only add a constant per product. growth is an outcome's own, and 0 for most.

Axes: U users, W features (as `Features.wide` has them), A actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ranker.catalogue import BASES, Interference
from ranker.contact_history import HistoryColumns
from ranker.features import Encoder, Features, NumericColumn

HISTORY = BASES[0]
MOST_LEFT = 4.0  # of an effect, however far the average is from no contact at all
MOST_ADDED = 1.0  # to a link, however many contacts: more of them than were logged tell nothing
CLOSE = 1e-4  # of encoded values, which are float32


@dataclass(frozen=True)
class Lately:
    """Actions `where` keep so much of their effect where the feature `column` is at most `within`."""

    where: Mapping[str, object]
    column: str
    within: float
    kept: float

    def concerns(self, action: Mapping[str, object]) -> bool:
        return all(action.get(name) == value for name, value in self.where.items())


@dataclass(frozen=True)
class Growth:
    """What each earlier contact adds to every effect on an outcome, on the scale of its link, and the standard error of it."""

    outcome: str
    added: float
    stderr: float


@dataclass(frozen=True)
class Carryover:
    """contacts: the feature that counts earlier contacts, None if there is none; average: of it; kept: by each contact.
    growths: of the outcomes that have one; none without contacts."""

    contacts: str | None
    average: float
    kept: float
    lately: tuple[Lately, ...]
    growths: tuple[Growth, ...] = ()

    def held(self, encoder: Encoder, wide_UW: Tensor) -> Tensor:
        """The users as if their history were average: so many contacts, none of the offers made lately."""
        history = {each.column: np.nan for each in self.lately}
        if self.contacts is not None:
            history[self.contacts] = self.average
        nobody = Features(np.zeros((1, encoder.numeric_width), np.float32), np.zeros((1, encoder.groups), np.int64))
        at_W = encoder.columns_of(history)
        held_UW = wide_UW.clone()
        held_UW[:, at_W] = torch.from_numpy(encoder.holding(nobody, history).wide(encoder.levels)[:, at_W])
        return held_UW

    def excess(self, encoder: Encoder, wide_UW: Tensor) -> Tensor:
        """float32[U]: by how many contacts a user is above the average; 0 where nothing counts them."""
        if self.contacts is None:
            return torch.zeros(len(wide_UW))
        column, z_U, missing_U = _encoded(encoder, wide_UW, self.contacts)
        return torch.where(missing_U, 0.0, column.decode(z_U) - self.average)

    def left(
        self, encoder: Encoder, wide_UW: Tensor, excess_U: Tensor, actions: Sequence[Mapping[str, object]]
    ) -> Tensor:
        """float32[U, A]: by what the effects of an average history are multiplied. excess_U: as `excess` finds it."""
        left_UA = (self.kept**excess_U).clamp(max=MOST_LEFT)[:, None].repeat(1, len(actions))
        for each in self.lately:
            column, z_U, missing_U = _encoded(encoder, wide_UW, each.column)
            latest = float(column.encode(np.array([each.within]))[0][0])
            lately_U = ~missing_U & (z_U <= latest + CLOSE)
            concerned_A = torch.tensor([each.concerns(action) for action in actions])
            left_UA[lately_U[:, None] & concerned_A] *= each.kept
        return left_UA

    def with_features_of(self, encoder: Encoder) -> "Carryover":
        """Itself; ValueError where the encoder lacks a feature."""
        for name in (self.contacts, *(each.column for each in self.lately)):
            if name is not None and not _there(encoder, name):
                raise ValueError(f"carryover: '{name}' is none of the numeric features")
        return self


def carryover_of(
    interference: Interference,
    growths: Sequence[Growth],
    history: HistoryColumns | None,
    encoder: Encoder,
    held: Mapping[str, float],
) -> Carryover | None:
    """None where no feature tells of what is lost. held: the average history with which it was estimated."""
    if history is None:
        return None
    since = {frozenset(each.where.items()): each for each in history.since if _there(encoder, each.column)}
    lately = []
    for pair in interference.pairs:
        told = since.get(frozenset(pair.beside.items()))
        if told is not None and pair.basis == HISTORY:
            lately.append(Lately(dict(pair.where), told.column, interference.days / told.days, pair.effect.kept))
    tells = history.contacts in held and interference.fatigue is not None
    contacts = history.contacts if tells and _there(encoder, history.contacts) else None
    if contacts is None and not lately:
        return None
    if contacts is None:
        return Carryover(None, 0.0, 1.0, tuple(lately))
    return Carryover(contacts, held[contacts], interference.fatigue.kept, tuple(lately), tuple(growths))


def _there(encoder: Encoder, name: str | None) -> bool:
    return any(column.name == name for column in encoder.numeric)


def _encoded(encoder: Encoder, wide_UW: Tensor, name: str) -> tuple[NumericColumn, Tensor, Tensor]:
    """A numeric column, its standardised values and where they are missing."""
    position = next(p for p, column in enumerate(encoder.numeric) if column.name == name)
    return encoder.numeric[position], wide_UW[:, position], wide_UW[:, len(encoder.numeric) + position] > 0.5
