"""What earlier contacts leave of an effect, user by user, where features tell of them.

    effect[u, a] = effect[u at an average history, a] kept^(contacts[u] - average) * product over offers j made lately to u of kept[a, j]

with the factors of `interference`. They multiply the whole effect; the linear path alone could only add something for each product.

Axes: U users, W features as `Features.wide` has them, A actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ranker.contact_history import HistoryColumns
from ranker.features import Encoder, Features, NumericColumn
from ranker.scores import BASES, Interference

HISTORY = BASES[0]
MOST_LEFT = 4.0  # of an effect, however far the average is from no contact at all
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
class Carryover:
    """contacts: the feature that counts earlier contacts, None if there is none; average: of it; kept: by each contact."""

    contacts: str | None
    average: float
    kept: float
    lately: tuple[Lately, ...]

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

    def left(self, encoder: Encoder, wide_UW: Tensor, actions: Sequence[Mapping[str, object]]) -> Tensor:
        """float32[U, A]: by what the effects of an average history are multiplied."""
        left_UA = torch.ones(len(wide_UW), len(actions))
        if self.contacts is not None:
            column, z_U, missing_U = _encoded(encoder, wide_UW, self.contacts)
            apart_U = torch.where(missing_U, 0.0, column.decode(z_U) - self.average)
            left_UA *= (self.kept**apart_U).clamp(max=MOST_LEFT)[:, None]
        for each in self.lately:
            column, z_U, missing_U = _encoded(encoder, wide_UW, each.column)
            latest = float(column.encode(np.array([each.within]))[0][0])
            lately_U = ~missing_U & (z_U <= latest + CLOSE)
            concerned_A = torch.tensor([each.concerns(action) for action in actions])
            left_UA[lately_U[:, None] & concerned_A] *= each.kept
        return left_UA

    def to_json(self) -> dict:
        return {**vars(self), "lately": [vars(each) for each in self.lately]}

    @staticmethod
    def from_json(content: Mapping, encoder: Encoder) -> "Carryover":
        """ValueError where the encoder lacks a feature."""
        found = Carryover(**{**content, "lately": tuple(Lately(**each) for each in content["lately"])})
        for name in (found.contacts, *(each.column for each in found.lately)):
            if name is not None and not _there(encoder, name):
                raise ValueError(f"carryover: '{name}' is none of the numeric features")
        return found


def carryover_of(
    interference: Interference, history: HistoryColumns | None, encoder: Encoder, held: Mapping[str, float]
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
    average, kept = (0.0, 1.0) if contacts is None else (held[contacts], interference.fatigue.kept)
    return Carryover(contacts, average, kept, tuple(lately))


def _there(encoder: Encoder, name: str | None) -> bool:
    return any(column.name == name for column in encoder.numeric)


def _encoded(encoder: Encoder, wide_UW: Tensor, name: str) -> tuple[NumericColumn, Tensor, Tensor]:
    """A numeric column, its standardised values and where they are missing."""
    position = next(p for p, column in enumerate(encoder.numeric) if column.name == name)
    return encoder.numeric[position], wide_UW[:, position], wide_UW[:, len(encoder.numeric) + position] > 0.5
