"""A trained model: what each member expects of every action, and the calibrated effect that leaves the ranker.

Axes: U users, A actions, K members, O outcomes, M attribute values, W features, C channels (c: those of one outcome).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ranker.catalogue import NEVER_SHOWN, Interference, Metric, Unidentified
from ranker.features import Encoder, Features
from ranker.log_schema import LogSchema
from ranker.model.calibration import Calibration, EffectVariance
from ranker.model.carryover import MOST_ADDED, Carryover
from ranker.model.cross_outcome_pooling import LEAST_VARIANCE
from ranker.model.network import ALL, ActionCode, ValueNet
from ranker.model.outcome_heads import Target
from ranker.model.settings import ModelSettings

USERS_AT_ONCE = 8_192
PRODUCT = "product"  # whose actions share errors where they have no attribute of the name that the settings give


@dataclass(frozen=True)
class Effects:
    """What is expected of U users for one outcome, in its natural unit.

    none_U: outcome without contact. mean_UA: effect of one contact, calibrated. stderr_UA: its standard error.
    """

    none_U: np.ndarray
    mean_UA: np.ndarray
    stderr_UA: np.ndarray


@dataclass(frozen=True)
class ValueModel:
    """Everything that is needed to score users.

    targets: in the order of the schema's outcomes.
    mean_features_W: features of an average user.
    within_variance_CA: posterior variance of a user's deviation from an action's average effect, on the scale of the channel's link.
    average_variance_CA: posterior variance of an action's average effect less that of all actions.
    as_of: the latest logged day.
    interference: fatigue and cannibalisation, None where the logs cannot tell.
    carryover: the part of it that features tell of single users.
    unidentified: actions whose effects the logs do not tell.
    """

    settings: ModelSettings
    schema: LogSchema
    encoder: Encoder
    targets: tuple[Target, ...]
    code: ActionCode
    actions: tuple[Mapping[str, object], ...]
    members: tuple[ValueNet, ...]
    mean_features_W: np.ndarray
    within_variance_CA: np.ndarray
    average_variance_CA: np.ndarray
    calibration: Calibration | None
    as_of: date
    interference: Interference | None = None
    carryover: Carryover | None = None
    unidentified: tuple[Unidentified, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it estimates, as the scores name it; errors are known to go together once it is calibrated."""
        known = {} if self.calibration is None else self.calibration.outcomes
        return tuple(
            Metric(each.name, each.unit, known[each.name].error_correlation if each.name in known else 0.0)
            for each in self.targets
        )

    @property
    def error_groups(self) -> str | None:
        """The attribute whose values share errors, the first that actions have: their effects are learned from each other."""
        names = (self.settings.error_groups, PRODUCT)
        return next((name for name in names if any(action.get(name) is not None for action in self.actions)), None)

    @cached_property
    def _table_AM(self) -> Tensor:
        """Of its own actions."""
        return torch.from_numpy(self.code.table(self.actions))

    def calibrated(self, calibration: Calibration) -> "ValueModel":
        return replace(self, calibration=calibration)

    def carrying(self, carryover: Carryover, features: Features) -> "ValueModel":
        """The same with a carryover, not calibrated yet. The variance that it now explains between these users is taken off
        `within_variance_CA`, of which at least the share LEAST_VARIANCE is left."""
        carried = replace(self, carryover=carryover, calibration=None)
        wide_UW = self._wide(features)
        before_UCA, after_UCA = (model._effects_of_first(wide_UW) for model in (self, carried))
        explained_CA = (after_UCA - before_UCA).var(0, correction=0).numpy()
        return replace(
            carried,
            within_variance_CA=np.maximum(
                self.within_variance_CA - explained_CA, LEAST_VARIANCE * self.within_variance_CA
            ),
        )

    def _effects_of_first(self, wide_UW: Tensor) -> Tensor:
        """[U, C, A]: on the scale of the links, by the first member."""
        with torch.inference_mode():
            links, _ = self._links(self.members[:1], wide_UW, self.actions)
        _, effect_UCA = links[0]
        return effect_UCA

    def for_actions(self, actions: Sequence[Mapping[str, object]]) -> "ValueModel":
        """The same model for another catalogue: known actions keep their calibration, new ones get the pooled one."""
        if self.calibration is None:
            raise ValueError("a model is calibrated before its catalogue changes")
        at_mean_KA = {target.name: self._at_mean_features(o, actions) for o, target in enumerate(self.targets)}
        position = {str(action["id"]): a for a, action in enumerate(self.actions)}
        known_A = np.array([position.get(str(action["id"]), -1) for action in actions])
        within_variance_CA, average_variance_CA = (
            np.where(known_A < 0, each_CA.max(1, keepdims=True), each_CA[:, known_A])
            for each_CA in (self.within_variance_CA, self.average_variance_CA)
        )
        new = [str(action["id"]) for action, known in zip(actions, known_A, strict=True) if known < 0]
        here = [each for each in self.unidentified if any(action["id"] == each.action for action in actions)]
        return replace(
            self,
            actions=tuple(actions),
            unidentified=(*here, *(Unidentified(action, NEVER_SHOWN) for action in new)),
            within_variance_CA=within_variance_CA,
            average_variance_CA=average_variance_CA,
            calibration=self.calibration.reindexed(known_A, at_mean_KA),
        )

    def _at_mean_features(self, outcome: int, actions: Sequence[Mapping[str, object]]) -> np.ndarray:
        """float64[K, A]: each member's effect of each action on a user with average features."""
        wide_1W = torch.from_numpy(self.mean_features_W)[None, :]
        average = replace(self, carryover=None)
        pairs = [average._member(member, wide_1W, outcome, actions) for member in self.members]
        return np.stack([(mean_UA - none_U[:, None])[0] for none_U, mean_UA in pairs]).astype(np.float64)

    def expected(self, member: int, outcome: int, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """One member's expectation without contact [U] and with each action [U, A], float32, before calibration."""
        parts = [
            self._member(
                self.members[member],
                self._wide(features.take(slice(start, start + USERS_AT_ONCE))),
                outcome,
                self.actions,
            )
            for start in range(0, max(len(features), 1), USERS_AT_ONCE)
        ]
        return np.concatenate([none_U for none_U, _ in parts]), np.concatenate([mean_UA for _, mean_UA in parts])

    def expected_of_action(
        self, member: int, features: Features, action: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One member's expectation of every outcome without contact [U] and with one action [U], before calibration."""
        with torch.inference_mode():
            (link,), _ = self._links([self.members[member]], self._wide(features), self.actions[action : action + 1])
            for none_U, mean_U1 in _means(link, self.targets):
                yield none_U.numpy(), mean_U1[:, 0].numpy()

    def beside(self, features: Features, action_U: np.ndarray, others_UA: np.ndarray) -> np.ndarray:
        """float64[U, O]: what other contacts add beside an action, on average over members: their effects add up on the scale of the
        link. A calibration, where there is one, corrects each of them in the outcome's unit."""
        wide_UW, position_U = self._wide(features), torch.from_numpy(np.minimum(action_U, len(self.actions) - 1))
        others = torch.from_numpy(others_UA)
        with torch.inference_mode():
            links, _ = self._links(self.members, wide_UW, self.actions)
            added = [self._added(link, position_U, others) for link in links]
            raw = [[mean_UA - none_U[:, None] for none_U, mean_UA in _means(link, self.targets)] for link in links]
        added_UO = torch.stack(added).mean(0).numpy().astype(np.float64)
        if self.calibration is None:
            return added_UO
        for o, effects in enumerate(self.effects(features).values()):
            raw_UA = torch.stack([member[o] for member in raw]).mean(0).numpy()
            added_UO[:, o] += ((effects.mean_UA - raw_UA) * others_UA).sum(1)
        return added_UO

    def _added(self, link: "Link", position_U: Tensor, others_UA: Tensor) -> Tensor:
        """[U, O]"""
        base_UC, effect_UCA = link
        own_UC = base_UC + effect_UCA[torch.arange(len(base_UC)), :, position_U]
        whole_UC = own_UC + torch.einsum("uca,ua->uc", effect_UCA, others_UA)
        parts = _channels_of(self.targets)
        return torch.stack([target.mean(whole_UC[:, c]) - target.mean(own_UC[:, c]) for target, c in parts], dim=1)

    def _member(
        self, network: ValueNet, wide_UW: Tensor, outcome: int, actions: Sequence[Mapping[str, object]]
    ) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            target = self.targets[outcome]
            first = sum(before.channels for before in self.targets[:outcome])
            (link,), _ = self._links([network], wide_UW, actions, slice(first, first + target.channels))
            none_U, mean_UA = next(_means(link, [target]))
            return none_U.numpy(), mean_UA.numpy()

    def _links(
        self, members: Sequence[ValueNet], wide_UW: Tensor, actions: Sequence[Mapping[str, object]], here: slice = ALL
    ) -> tuple[list["Link"], "Remains | None"]:
        """What members say of some actions in the channels `here`, and what history made of it, where it tells anything."""
        table_AM = self._table_AM if actions is self.actions else torch.from_numpy(self.code.table(actions))
        if self.carryover is None:
            return [network(wide_UW, table_AM, here) for network in members], None
        remains, held_UW = self._remains(wide_UW, actions), self.carryover.held(self.encoder, wide_UW)
        links = []
        for network in members:
            base_UC, effect_UCA = network(wide_UW, table_AM, here, held_UW)
            effect_UCA.add_(remains.grown_UC[:, here, None]).mul_(remains.left_UA[:, None])
            links.append((base_UC, effect_UCA))
        return links, remains

    def _remains(self, wide_UW: Tensor, actions: Sequence[Mapping[str, object]]) -> "Remains":
        """By the carryover, which there is. The size of an amount does not grow."""
        growths = {each.outcome: each for each in self.carryover.growths}
        added_C, variance_C = torch.zeros(2, len(self.within_variance_CA))
        for target, here in _channels_of(self.targets):
            if target.name in growths:
                chances = slice(here.start, here.stop, 2)
                added_C[chances], variance_C[chances] = growths[target.name].added, growths[target.name].stderr ** 2
        excess_U = self.carryover.excess(self.encoder, wide_UW)
        return Remains(
            left_UA=self.carryover.left(self.encoder, wide_UW, excess_U, actions),
            grown_UC=(excess_U[:, None] * added_C).clamp(-MOST_ADDED, MOST_ADDED),
            grown_variance_UC=excess_U[:, None].square() * variance_C,
        )

    def _wide(self, features: Features) -> Tensor:
        return torch.from_numpy(features.wide(self.encoder.levels))

    def effects(self, features: Features) -> dict[str, Effects]:
        """Calibrated effects of all users, outcome name -> Effects; call with a batch at a time, memory grows with U."""
        if self.calibration is None:
            raise ValueError("the model has no calibration; raw effects are no scores")
        with torch.inference_mode():
            wide_UW = self._wide(features)
            links, remains = self._links(self.members, wide_UW, self.actions)
            members = [_means(link, self.targets) for link in links]
            left_UA, own_UC = (None, None) if remains is None else (remains.left_UA, remains.grown_variance_UC)
            within_variances = _variances(
                links[0], self.targets, torch.from_numpy(self.within_variance_CA), left_UA, own_UC
            )
            average_variances = _variances(links[0], self.targets, torch.from_numpy(self.average_variance_CA), left_UA)
            effects = {}
            for target in self.targets:
                means = [next(member) for member in members]
                doubt = EffectVariance(next(within_variances), next(average_variances), target.per_link(means[0][1]))
                effects[target.name] = Effects(*self.calibration.of(target.name).apply(means, doubt))
            return effects


Link = tuple[Tensor, Tensor]
"""What a network says: base_UC and effect_UCA."""


@dataclass(frozen=True)
class Remains:
    """What earlier contacts make of effects on the scale of the link: grown_UC is added, with a variance of its own, then left_UA
    multiplies all."""

    left_UA: Tensor
    grown_UC: Tensor
    grown_variance_UC: Tensor


def _means(link: Link, targets: Sequence[Target]) -> Iterator[tuple[Tensor, Tensor]]:
    """Per outcome what is expected without contact [U] and with each action [U, A]."""
    base_UC, effect_UCA = link
    for target, here in _channels_of(targets):
        base_Uc = base_UC[:, here]
        yield target.mean(base_Uc), target.mean((base_Uc[:, :, None] + effect_UCA[:, here]).transpose(1, 2))


def _variances(
    link: Link,
    targets: Sequence[Target],
    within_variance_CA: Tensor,
    left_UA: Tensor | None = None,
    own_UC: Tensor | None = None,
) -> Iterator[Tensor]:
    """Per outcome the variance [U, A] of an effect, in the outcome's unit.

    within_variance_CA: on the scale of the link. own_UC: added to it. left_UA: what is left of the effect.
    """
    base_UC, effect_UCA = link
    for target, here in _channels_of(targets):
        link_UAc = (base_UC[:, here, None] + effect_UCA[:, here]).transpose(1, 2)
        variance_Ac = within_variance_CA.T[:, here]
        variance_UA = target.variance(link_UAc, variance_Ac if own_UC is None else variance_Ac + own_UC[:, None, here])
        yield variance_UA if left_UA is None else variance_UA * left_UA.square()


def _channels_of(targets: Sequence[Target]) -> Iterator[tuple[Target, slice]]:
    first = 0
    for target in targets:
        yield target, slice(first, first + target.channels)
        first += target.channels
