"""ValueNet: the expected outcome without contact, and what each action adds to it, on the scale of the link.

    link(E[y | u, a]) = base(u) + average(a) + interaction(u, a)
    base(u) = linear(u) + deep(u);  average(a) = attributes of a . coefficients
    interaction(u, a) = <query(u), embedding(a)>, embedding(a) = sum of the embeddings of a's attributes

Axes: R rows or users, A actions (the last row of an action table may be `none`, all zeros), M attributes, C channels over all
outcomes, K width of the embedding, N numeric inputs, G categorical columns, H width of the tower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ranker.model.losses import Target
from ranker.model.settings import ModelSettings

EVERY = "contact"  # the attribute that all actions share
OWN = "id"


@dataclass(frozen=True)
class ActionCode:
    """The attributes by which actions are known. values: attribute -> its values; `id` is one of the attributes."""

    values: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(attribute, value) of every column of the action table; the first is what all contacts share."""
        return ((EVERY, EVERY), *((name, value) for name, values in self.values for value in values))

    def table(self, actions: Sequence[Mapping[str, object]], none: bool = False) -> np.ndarray:
        """float32[A (+ 1 with none), M]: 1 where the action has the value; unknown values have no column, `none` has nothing."""
        table_AM = np.array(
            [[name == EVERY or str(action.get(name)) == value for name, value in self.names] for action in actions],
            np.float32,
        ).reshape(len(actions), len(self.names))
        return np.vstack([table_AM, np.zeros((1, table_AM.shape[1]), np.float32)]) if none else table_AM

    def prior_sd(self, settings: ModelSettings) -> np.ndarray:
        """float32[M]: how far an attribute's average effect may be from zero."""
        sd = {EVERY: settings.contact_sd, OWN: settings.action_sd}
        return np.array([sd.get(name, settings.attribute_sd) for name, _ in self.names], np.float32)


def action_code(actions: Sequence[Mapping[str, object]]) -> ActionCode:
    """The code of a catalogue: the id and every other string attribute with more than one value."""
    attributes = dict.fromkeys(name for action in actions for name, value in action.items() if isinstance(value, str))
    coded = []
    for name in attributes:
        values = tuple(sorted({str(action[name]) for action in actions if name in action}))
        if name == OWN or len(values) > 1:
            coded.append((name, values))
    return ActionCode(tuple(coded))


class Affine(nn.Module):
    """Numbers and one-hot categories to `width` outputs, without ever building the one-hot matrix."""

    def __init__(self, numeric: int, levels: int, width: int):
        super().__init__()
        self.numeric = nn.Linear(numeric, width, bias=False) if numeric else None
        self.level = nn.EmbeddingBag(levels, width, mode="sum") if levels else None
        self.width = width

    def reset(self, sd: float) -> None:
        for weight in self.parameters():
            nn.init.normal_(weight, std=sd) if sd else nn.init.zeros_(weight)

    def forward(self, numeric_RN: Tensor, index_RG: Tensor) -> Tensor:
        out = numeric_RN.new_zeros(len(numeric_RN), self.width)
        out = out if self.numeric is None else out + self.numeric(numeric_RN)
        return out if self.level is None else out + self.level(index_RG)


class ValueNet(nn.Module):
    """One member of the ensemble. targets: where base and common effect start; prior_M: prior sd of each attribute's average effect."""

    def __init__(
        self, settings: ModelSettings, numeric: int, levels: int, targets: Sequence[Target], prior_M: np.ndarray
    ):
        super().__init__()
        channels, width = sum(target.channels for target in targets), settings.embedding
        self.settings, self.channels = settings, channels
        sizes = settings.hidden
        self.first = Affine(numeric, levels, sizes[0])
        self.first_bias = nn.Parameter(torch.zeros(sizes[0]))
        layers: list[nn.Module] = [nn.SiLU(), nn.Dropout(settings.dropout)]
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(settings.dropout)]
        self.tower = nn.Sequential(*layers)
        self.base_bias = nn.Parameter(
            torch.tensor([value for target in targets for value in target.start], dtype=torch.float32)
        )
        self.base_linear = Affine(numeric, levels, channels)
        self.base_deep = nn.Linear(sizes[-1], channels, bias=False)
        # Coefficients are in units of their prior's sd, so that all attributes are shrunk alike and learn at their own speed.
        self.register_buffer("prior_M", torch.as_tensor(prior_M, dtype=torch.float32))
        average_MC = torch.zeros(len(prior_M), channels)
        average_MC[0] = torch.tensor([value for target in targets for value in target.contact]) / float(prior_M[0])
        self.average_MC = nn.Parameter(average_MC)
        self.embedding_MK = nn.Parameter(torch.randn(len(prior_M), width) / width**0.5)
        self.query_linear = Affine(numeric, levels, channels * width)
        self.query_deep = nn.Linear(sizes[-1], channels * width, bias=False)
        self._start()

    def _start(self) -> None:
        self.first.reset(0.2)
        for affine in (self.base_linear, self.query_linear):
            affine.reset(0.0)
        for head in (self.base_deep, self.query_deep):
            nn.init.zeros_(head.weight)

    def users(self, numeric_RN: Tensor, index_RG: Tensor) -> tuple[Tensor, Tensor]:
        """base_RC: the link without contact. query_RCK: what a user's interaction with an embedding is made of."""
        hidden_RH = self.tower(self.first(numeric_RN, index_RG) + self.first_bias)
        base_RC = self.base_bias + self.base_linear(numeric_RN, index_RG) + self.base_deep(hidden_RH)
        query_R = self.settings.interaction_sd * self.query_linear(numeric_RN, index_RG)
        query_R = query_R + self.settings.deep_interaction_sd * self.query_deep(hidden_RH)
        return base_RC, query_R.view(len(base_RC), self.channels, -1)

    def actions(self, table_AM: Tensor) -> tuple[Tensor, Tensor]:
        """average_AC: the effect on the link for an average user. embedding_AK. Both 0 for `none`."""
        return table_AM @ (self.prior_M[:, None] * self.average_MC), table_AM @ self._weighted_embedding()

    def _weighted_embedding(self) -> Tensor:
        # An attribute's share in the interactions is as large as its share in the averages.
        return (self.prior_M / self.prior_M.max())[:, None] ** 0.5 * self.embedding_MK

    def forward(self, numeric_RN: Tensor, index_RG: Tensor, action_R: Tensor, table_AM: Tensor) -> Tensor:
        """link_RC of the logged actions."""
        base_RC, query_RCK = self.users(numeric_RN, index_RG)
        average_AC, embedding_AK = self.actions(table_AM)
        interaction_RC = (query_RCK * embedding_AK[action_R][:, None, :]).sum(-1)
        return base_RC + average_AC[action_R] + interaction_RC

    def penalty(self) -> Tensor:
        """Minus the log prior of all coefficients, up to a constant."""
        settings = self.settings
        deep = [self.first, self.tower, self.base_deep]
        unit = [self.query_linear, self.query_deep]
        return 0.5 * (
            _squares(self.base_linear) / settings.base_sd**2
            + sum(_squares(part) for part in deep) / settings.deep_sd**2
            + sum(_squares(part) for part in unit)
            + self.average_MC.square().sum()
            + self.embedding_MK.square().sum()
        )


def _squares(module: nn.Module) -> Tensor:
    return sum(weight.square().sum() for weight in module.parameters())
