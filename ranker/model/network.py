"""ValueNet: the expected outcome without contact, and what each action adds to it, on the scale of the link.

    link(E[y | u, a]) = base(u) + effect(u, a)
    base(u)      = linear(u) + deep(u)
    effect(u, a) = sum over attributes m of a of linear_m(u)  +  <query(u), embedding(a)>

The linear path comes in closed form (`linear`); the deep path learns what that leaves, and each channel keeps it only if users it
has not seen are predicted better with it.

Axes: R rows (or users), W features, A actions (the last row of an action table may be `none`, all zeros), B arms, M
attribute values, C channels (over all outcomes), N = C x A effects of actions in channels, X width of the embedding,
H width of the tower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ranker.model.settings import ModelSettings

EVERY = "contact"  # the attribute that all actions share
OWN = "id"
ALL = slice(None)  # channels
EMBEDDING = "embedding_MK"  # its name in weights.safetensors


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
        names = self.names
        table_AM = np.array(
            [[name == EVERY or str(action.get(name)) == value for name, value in names] for action in actions],
            np.float32,
        ).reshape(len(actions), len(names))
        return np.vstack([table_AM, np.zeros((1, table_AM.shape[1]), np.float32)]) if none else table_AM

    @property
    def attribute(self) -> np.ndarray:
        """int64[M]: the number of the attribute that each column of the action table is a value of."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in self.names))}
        return np.array([numbers[name] for name, _ in self.names])


def action_code(actions: Sequence[Mapping[str, object]]) -> ActionCode:
    """The code of a catalogue: the id and every other string attribute with more than one value."""
    attributes = dict.fromkeys(name for action in actions for name, value in action.items() if isinstance(value, str))
    coded = []
    for name in attributes:
        values = tuple(sorted({str(action[name]) for action in actions if name in action}))
        if name == OWN or len(values) > 1:
            coded.append((name, values))
    return ActionCode(tuple(coded))


class ValueNet(nn.Module):
    """One member of the ensemble. width: W. channels: C. values: M, the columns of the action table."""

    def __init__(self, settings: ModelSettings, width: int, channels: int, values: int):
        super().__init__()
        self.settings, self.channels = settings, channels
        self.base = nn.Linear(width, channels).requires_grad_(False)
        self.effect = nn.Linear(width, channels * values).requires_grad_(False)
        sizes = (width, *settings.hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(settings.dropout)]
        self.tower = nn.Sequential(*layers)
        self.base_deep = nn.Linear(sizes[-1], channels, bias=False)
        self.query_deep = nn.Linear(sizes[-1], channels * settings.embedding, bias=False)
        embedding_MX = nn.Parameter(torch.randn(values, settings.embedding) / settings.embedding**0.5)
        self.register_parameter(EMBEDDING, embedding_MX)
        self.register_buffer("deep_C", torch.ones(channels))  # 0: the channel does without the deep path
        nn.init.normal_(self.tower[0].weight, std=0.2)
        for head in (self.base_deep, self.query_deep):
            nn.init.zeros_(head.weight)

    @property
    def embedding_MX(self) -> Tensor:
        return self.get_parameter(EMBEDDING)

    def set_linear(self, base: tuple[np.ndarray, np.ndarray], effect: tuple[np.ndarray, np.ndarray]) -> None:
        """Weights and constants: base [C, W], [C]; effect [C, M, W], [C, M]."""
        for linear, (weight, constant) in ((self.base, base), (self.effect, effect)):
            linear.weight.copy_(torch.as_tensor(weight, dtype=torch.float32).reshape(linear.weight.shape))
            linear.bias.copy_(torch.as_tensor(constant, dtype=torch.float32).reshape(linear.bias.shape))

    def forward(
        self, wide_RW: Tensor, table_AM: Tensor, here: slice = ALL, held_RW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Of the channels `here`, base_RC: the link without contact, and effect_RCA: what each action adds to it, to users as they are
        or, where given, as held_RW says."""
        offered_RW = wide_RW if held_RW is None else held_RW
        weight_NW, constant_N = self._effect_of(table_AM, here)
        base_RC = nn.functional.linear(wide_RW, self.base.weight[here], self.base.bias[here])
        effect_RCA = torch.addmm(constant_N, offered_RW, weight_NW.T).view(*base_RC.shape, -1)
        if self.deep_C[here].any():
            base_deep_RC, query_RCX = self._deep(wide_RW)
            if held_RW is not None:
                _, query_RCX = self._deep(held_RW)
            base_RC = base_RC + self.deep_C[here] * base_deep_RC[:, here]
            effect_RCA = effect_RCA + self.deep_C[here, None] * (query_RCX[:, here] @ self._embedding(table_AM).T)
        return base_RC, effect_RCA

    def linear(self, wide_RW: Tensor, row_1M: Tensor) -> Tensor:
        """link_RC of the linear path after one action, row_1M of an action table."""
        weight_CW, constant_C = self._effect_of(row_1M, ALL)
        return self.base(wide_RW) + wide_RW @ weight_CW.T + constant_C

    def deep(self, wide_RW: Tensor, arm_R: Tensor, table_AM: Tensor, members_BA: Tensor | None = None) -> Tensor:
        """link_RC that the deep path adds for the logged arms, whether or not it is used. members_BA: the actions of every arm, whose
        effects add up; None where arms are actions."""
        base_RC, query_RCX = self._deep(wide_RW)
        embedding_BX = self._embedding(table_AM)
        embedding_BX = embedding_BX if members_BA is None else members_BA @ embedding_BX
        return base_RC + (query_RCX * embedding_BX[arm_R][:, None, :]).sum(-1)

    def _deep(self, wide_RW: Tensor) -> tuple[Tensor, Tensor]:
        hidden_RH = self.tower(wide_RW)
        query_R = self.settings.deep_interaction_sd * self.query_deep(hidden_RH)
        return self.base_deep(hidden_RH), query_R.view(len(wide_RW), self.channels, -1)

    def _effect_of(self, table_AM: Tensor, here: slice) -> tuple[Tensor, Tensor]:
        """Weights [C * A, W] and constants [C * A] of the linear effects of actions in some channels."""
        weight_CMW = self.effect.weight.view(self.channels, table_AM.shape[1], -1)[here]
        constant_CM = self.effect.bias.view(self.channels, -1)[here]
        return (table_AM @ weight_CMW).flatten(0, 1), (constant_CM @ table_AM.T).flatten()

    def _embedding(self, table_AM: Tensor) -> Tensor:
        return table_AM @ self.embedding_MX / table_AM.sum(1, keepdim=True).clamp(min=1) ** 0.5

    def penalty(self) -> Tensor:
        """Minus the log prior of the deep path's coefficients, up to a constant."""
        deep = _squares(self.tower) + _squares(self.base_deep)
        unit = _squares(self.query_deep) + self.embedding_MX.square().sum()
        return 0.5 * (deep / self.settings.deep_sd**2 + unit)


def _squares(module: nn.Module) -> Tensor:
    return sum(weight.square().sum() for weight in module.parameters())
