"""Training of the ensemble: each member learns without one fold of users.

A member's linear path comes first and in closed form. Its deep path is then trained by gradient descent, until the fold that was left
out no longer gains; the first gain is measured against the linear path alone.

Axes: R rows (decisions), I numeric inputs, G categorical columns, W features, C channels, A actions, B arms, M
attribute values, N epochs.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from ranker.features import Features, fit_encoder
from ranker.files import InputError
from ranker.logs import Logs, StoredLogs
from ranker.model.constant import constant
from ranker.model.cross_outcome_pooling import pool
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, examples_of, stabilised_weights, thinned
from ranker.model.identified import unidentified
from ranker.model.linear import Actions, Design, LinearPath, fit_design, single_outcome_paths
from ranker.model.network import ValueNet, action_code
from ranker.model.outcome_heads import Channel, channel_losses, fit_targets
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.slates import Arms, arms_of
from ranker.model.splits import Splits, split_users, too_few_users
from ranker.model.surrogate import SurrogateFinding, stand_in
from ranker.model.threads import fixed_threads

ENCODER_ROWS = 262_144  # of the logs tell quantiles and frequent categories well enough
ROWS_AT_ONCE, HELD_OUT_ROWS = 65_536, 16_384
KEPT = "kept"  # the held-out loss of the weights kept so far


@dataclass(frozen=True)
class LossCurve:
    """Losses per epoch of one member. linear: held-out loss of the linear path alone. best: the epoch whose weights were kept, counted
    from 1; 0: none, the deep path adds nothing."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    linear: float
    best: int


@dataclass(frozen=True)
class Fit:
    """A trained ensemble, not yet calibrated, with the data it was trained on, and what stood in for outcomes not known yet."""

    model: ValueModel
    examples: Examples
    splits: Splits
    curves: tuple[LossCurve, ...]
    findings: tuple[SurrogateFinding, ...]
    seconds: float


Advance = Callable[[int, str], object]  # epochs done since the last call, and a note


def fit(
    logs: Logs | StoredLogs,
    settings: ModelSettings,
    fitting: FitSettings,
    seed: int,
    advance: Advance = lambda epochs, note: None,
    folder: Path | None = None,
    *,
    constant_too: bool = False,
) -> Fit:
    """Trains the ensemble, without calibration, on the users outside the test share; `ranker.model.train.train` is the whole way.

    The result is the same for the same logs, settings, seed and threads.

    Args:
        logs: decisions, in memory or in files.
        settings: the shape of the networks and the scales of the priors.
        fitting: epochs, test share and threads.
        seed: of the split of users and of the networks.
        advance: is told of every epoch, `fitting.max_epochs` for each member, those left out by an early stop included.
        folder: where encoded features are kept, as long as the examples are used; in memory if None.
        constant_too: whether outcomes that never vary are taken as well, of which nothing can be learned.

    Returns:
        The ensemble, the examples and splits that it was trained on, and the losses of each member.

    Raises:
        InputError: too few users, outcomes that never vary, nobody left to chance, contradicting rows of one decision, or too few GPUs.
    """
    started, accelerator = time.perf_counter(), _accelerator(fitting)
    user_id = logs.columns(["user_id"])["user_id"]
    splits = split_users(user_id, settings.members, fitting.test_share, seed)
    if problem := too_few_users(user_id, splits, fitting.test_share):
        raise InputError([f"{logs.place}: column user_id: {problem}"])
    encoder = fit_encoder(logs.rows(thinned(np.flatnonzero(splits.learn_R), ENCODER_ROWS)), logs.schema)
    examples = examples_of(logs, encoder, folder)
    splits = splits.of(examples.row_R)
    learn, fold_R = examples.take(splits.learn_R), splits.fold_R[splits.learn_R]
    if not constant_too and (problems := list(constant(learn, logs.schema, logs.late))):
        raise InputError([f"{logs.place}: {problem}" for problem in problems])
    not_told = unidentified(learn, logs.actions, logs.schema.none)
    targets = fit_targets([(o.name, o.kind, o.unit) for o in logs.schema.outcomes], learn.outcome_RO)
    code = action_code(logs.actions)
    arms, count = arms_of(learn.action_R, learn.others_RA, learn.actions), learn.actions
    table_AM = code.table(logs.actions)
    table_BM = table_AM if arms.members_BA is None else (arms.members_BA @ table_AM).astype(np.float32)
    actions = Actions(table_BM, code.attribute, settings.contact_sd, settings.size_sd, settings.tails, count)
    with fixed_threads(fitting.threads):
        design = fit_design(learn.features, encoder.kind_W)
        filled = stand_in(logs.schema, targets, learn, fold_R, design)
        channels = [channel for mine in filled.channels for channel in mine]
        start = [value for target in targets for value in target.start]
        paths = pool(
            actions, *single_outcome_paths(design, learn.features, fold_R, arms.arm_N, actions, channels, start)
        )
    weight_R = stabilised_weights(learn.action_R, learn.propensity_R, learn.actions, fitting.weight_clip)
    shown = _ArmTables.of(code.table(logs.actions, none=True), arms)
    members, curves, gains = [], [], []
    with fixed_threads(fitting.threads), torch.random.fork_rng(devices=[]), _quiet_lightning():
        for fold in range(settings.members):
            torch.manual_seed(seed * 1_000 + fold)
            network = ValueNet(settings, encoder.width, len(channels), len(code.names))
            _set_linear(network, design, paths[fold])
            data = _deep_data(network, learn, arms, channels, weight_R, shown)
            train = _SomeRows(data, np.flatnonzero(fold_R != fold))
            held_out = _SomeRows(data, thinned(np.flatnonzero(fold_R == fold), fitting.epoch_rows))
            links = [channel.link for channel in channels]
            training = _DeepTraining(
                network, links, encoder.levels, shown.table_AM, len(train), fitting, shown.members_BA
            )
            curves.append(_train(training, train, held_out, fitting, accelerator, seed * 1_000 + fold, advance))
            gains.append(training.gain(held_out))
            members.append(network.eval())
    deep_C = _pays(np.concatenate(gains))
    for network in members:
        network.deep_C.copy_(torch.from_numpy(deep_C))
    model = ValueModel(
        settings=settings,
        schema=logs.schema,
        encoder=encoder,
        targets=targets,
        code=code,
        actions=logs.actions,
        members=tuple(members),
        mean_features_W=design.mean,
        within_variance_CA=np.stack([path.within_variance_A for path in paths[0]]).astype(np.float32),
        average_variance_CA=np.stack([path.average_variance_A for path in paths[0]]).astype(np.float32),
        calibration=None,
        as_of=logs.latest,
        unidentified=not_told,
    )
    examples = filled.among(examples, splits.learn_R)
    return Fit(model, examples, splits, tuple(curves), filled.findings, time.perf_counter() - started)


def _set_linear(network: ValueNet, design: Design, paths: Sequence[LinearPath]) -> None:
    base = design.weights(np.stack([path.base_D for path in paths]))
    values = len(paths[0].effect_MD)
    weight, constant = design.weights(np.concatenate([path.effect_MD for path in paths]))
    network.set_linear(base, (weight.reshape(len(paths), values, -1), constant.reshape(len(paths), values)))


def _pays(gain_RC: np.ndarray) -> np.ndarray:
    """float32[C]: 1 where held-out rows gain by the deep path, by more than a standard error."""
    stderr_C = gain_RC.std(0, ddof=1) / len(gain_RC) ** 0.5
    return (gain_RC.mean(0) > stderr_C).astype(np.float32)


Batch = tuple[Tensor, ...]
"""numeric_RI, index_RG, action_R, linear_RC (the link of the linear path), y_RC, information_RC, weight_R"""


@dataclass(frozen=True)
class _DeepData:
    """What the deep path of one member is trained and judged on: features, and the other parts of a batch for all rows."""

    features: Features
    others: tuple[Tensor, ...]

    def batch(self, rows: np.ndarray) -> Batch:
        features, here = self.features.take(rows), torch.from_numpy(rows)
        read = (torch.from_numpy(features.numeric_UI), torch.from_numpy(features.index_UG))
        return *read, *(other[here] for other in self.others)


@dataclass(frozen=True)
class _ArmTables:
    """table_AM: of actions, none last. members_BA: which of them every arm shows, none last; None where arms are these."""

    table_AM: Tensor
    members_BA: Tensor | None

    @staticmethod
    def of(table_AM: np.ndarray, arms: Arms) -> "_ArmTables":
        if arms.members_BA is None:
            return _ArmTables(torch.from_numpy(table_AM), None)
        shown_BA = np.pad(arms.members_BA, ((0, 1), (0, 1))).astype(np.float32)
        return _ArmTables(torch.from_numpy(table_AM), torch.from_numpy(shown_BA))

    @property
    def table_BM(self) -> Tensor:
        return self.table_AM if self.members_BA is None else self.members_BA @ self.table_AM


def _deep_data(
    network: ValueNet,
    learn: Examples,
    arms: Arms,
    channels: Sequence[Channel],
    weight_R: np.ndarray,
    shown: _ArmTables,
) -> _DeepData:
    others = (
        torch.from_numpy(arms.arm_N),
        _linear_links(network, learn.features, arms.arm_N, shown.table_BM),
        torch.from_numpy(np.stack([channel.y_R for channel in channels], axis=1)),
        torch.from_numpy(np.stack([channel.information_R() for channel in channels], axis=1)),
        torch.from_numpy(weight_R.astype(np.float32)),
    )
    return _DeepData(learn.features, others)


@dataclass(frozen=True)
class _SomeRows:
    """Some of the rows."""

    data: _DeepData
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def _linear_links(network: ValueNet, features: Features, action_R: np.ndarray, table_AM: Tensor) -> Tensor:
    """[R, C] after the logged actions, arm by arm."""
    levels = network.base.in_features - features.numeric_width
    link_RC = torch.empty(len(features), network.channels)
    with torch.inference_mode():
        for arm in range(len(table_AM)):
            rows_of_arm = np.flatnonzero(action_R == arm)
            for rows in np.array_split(rows_of_arm, len(rows_of_arm) // ROWS_AT_ONCE + 1):
                wide_RW = torch.from_numpy(features.take(rows).wide(levels))
                link_RC[torch.from_numpy(rows)] = network.linear(wide_RW, table_AM[arm : arm + 1])
    return link_RC


class _Batches(IterableDataset):
    """Whole batches; collating single rows costs more than the network. With a generator an epoch is a random sample of `size` rows,
    else all of them in order. Of several processes each takes its part of every batch."""

    def __init__(self, data: _SomeRows, size: int, count: int, generator: np.random.Generator | None):
        self._data, self._size, self._count, self._generator = data, size, count, generator

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        mine, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        rows = self._data.rows
        if self._generator is not None:
            rows = self._generator.permutation(rows)[: self._size]
        for batch in np.array_split(rows, self._count):
            yield self._data.data.batch(np.sort(batch[mine::processes]))


def _in_order(data: _SomeRows) -> _Batches:
    return _Batches(data, len(data), max(1, round(len(data) / HELD_OUT_ROWS)), None)


class _DeepTraining(lightning.LightningModule):
    """Weighted negative log likelihood plus the log prior; the rate falls to zero over the epochs.

    What is known in the end is in buffers, which come back from other processes with the weights.
    """

    def __init__(
        self,
        network: ValueNet,
        links: Sequence[str],
        levels: int,
        table_AM: Tensor,
        rows: int,
        fitting: FitSettings,
        members_BA: Tensor | None = None,
    ):
        super().__init__()
        self.network, self.links, self.levels, self.rows, self.fitting = network, links, levels, rows, fitting
        # A running mean of the weights is what is judged and kept: single steps are noisy where outcomes are rare.
        self.steady = AveragedModel(network, multi_avg_fn=partial(_towards, 1 - fitting.averaging))
        self.steady.requires_grad_(False)
        self.register_buffer("table_AM", table_AM)
        self.register_buffer("members_BA", members_BA)
        self.register_buffer("curve_N2", torch.full((fitting.max_epochs, 2), torch.nan))  # losses: train, validation
        self.register_buffer("linear", torch.tensor(torch.nan))
        self.register_buffer("best", torch.tensor(0))
        self._kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._kept_R: Tensor | None = None  # losses of held-out rows by the weights kept
        self._now = _Epoch()

    def setup(self, stage: str) -> None:
        torch.set_num_threads(self.fitting.threads)
        if dist.is_initialized():
            _hush()

    def teardown(self, stage: str) -> None:
        # Threads of a group that is left to the end of the process may hold tensors then; letting go of one aborts the process.
        if dist.is_initialized():
            dist.destroy_process_group()

    def losses(self, network: ValueNet, batch: Batch) -> Tensor:
        """[R, C]"""
        numeric_RI, index_RG, action_R, linear_RC, y_RC, information_RC, _ = batch
        wide_RW = torch.cat([numeric_RI, _one_hot(index_RG, self.levels)], dim=1)
        link_RC = linear_RC + network.deep(wide_RW, action_R, self.table_AM, self.members_BA)
        return channel_losses(self.links, link_RC, y_RC, information_RC)

    def gain(self, held_out: _SomeRows) -> np.ndarray:
        """float32[R, C]: by how much the deep path lowers the loss of each row, unweighted."""
        self.network.eval()
        with torch.inference_mode():
            parts = [self._linear_losses(batch) - self.losses(self.network, batch) for batch in _in_order(held_out)]
        return torch.cat(parts).numpy()

    def _linear_losses(self, batch: Batch) -> Tensor:
        _, _, _, linear_RC, y_RC, information_RC, _ = batch
        return channel_losses(self.links, linear_RC, y_RC, information_RC)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = _weighted(batch, self.losses(self.network, batch)).mean()
        self._now.train.append(loss.detach())
        return loss + self.network.penalty() / self.rows

    def on_train_batch_end(self, outputs: object, batch: Batch, index: int) -> None:
        self.steady.update_parameters(self.network)

    def validation_step(self, batch: Batch, index: int) -> None:
        self._now.held_out.append(_weighted(batch, self.losses(self.steady.module, batch)))
        if self._kept_R is None:
            self._now.linear.append(_weighted(batch, self._linear_losses(batch)))

    def on_validation_epoch_end(self) -> None:
        """Keeps the weights if held-out rows gain over those kept before by more than a standard error."""
        now_R = torch.cat(self._now.held_out)
        if self._kept_R is None:
            self._kept_R = torch.cat(self._now.linear)
            self.linear.copy_(self._averages(self._kept_R)[0])
        gain_R = self._kept_R - now_R
        kept, now, gain, square, rows = self._averages(self._kept_R, now_R, gain_R, gain_R.square())
        self.curve_N2[self.current_epoch] = torch.stack([self._averages(torch.stack(self._now.train))[0], now])
        if gain > ((square - gain**2) / rows).sqrt():
            self._kept_R, kept = now_R, now
            self.best.fill_(self.current_epoch + 1)
            self._kept = {name: value.detach().clone() for name, value in self.steady.module.state_dict().items()}
        self._now = _Epoch()
        self.log(KEPT, kept.float(), sync_dist=True)

    def _averages(self, *values_R: Tensor) -> Tensor:
        """Of all processes' values, and their number."""
        sums = [values.sum(dtype=torch.float64) for values in values_R]
        sums = torch.stack([*sums, torch.full_like(sums[0], len(values_R[0]))])
        sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        return torch.cat([sums[:-1] / sums[-1], sums[-1:]])

    def on_fit_end(self) -> None:
        self.network.load_state_dict(self._kept)

    def curve(self) -> LossCurve:
        epochs = self.curve_N2[self.curve_N2[:, 1].isfinite()]
        return LossCurve(tuple(epochs[:, 0].tolist()), tuple(epochs[:, 1].tolist()), self.linear.item(), int(self.best))

    def configure_optimizers(self) -> dict:
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.fitting.learning_rate, betas=(0.9, 0.99))
        steps = max(int(self.trainer.estimated_stepping_batches), 3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.fitting.learning_rate,
            total_steps=steps,
            pct_start=max(0.1, 2 / steps),  # it divides by zero where the rate rises for one step
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass
class _Epoch:
    """Losses of an epoch so far: of training batches; of held-out rows, by the deep path and by the linear path alone."""

    train: list[Tensor] = field(default_factory=list)
    held_out: list[Tensor] = field(default_factory=list)
    linear: list[Tensor] = field(default_factory=list)


def _towards(share: float, means: list[Tensor], weights: list[Tensor], steps: Tensor) -> None:
    """Moves running means by a share of the way; torch's own function for it cannot be sent to other processes."""
    for mean, weight in zip(means, weights, strict=True):
        mean.lerp_(weight, share)


def _one_hot(index_RG: Tensor, levels: int) -> Tensor:
    return torch.zeros(len(index_RG), levels, device=index_RG.device).scatter_(1, index_RG, 1.0)


def _weighted(batch: Batch, loss_RC: Tensor) -> Tensor:
    """[R]"""
    return batch[-1] * loss_RC.sum(1)


class _Tells(Callback):
    """Tells how far it is."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: _DeepTraining) -> None:
        loss = module.curve_N2[module.current_epoch, 1]
        self._advance(1, f"held-out loss {loss:.4f}, by the linear path {module.linear:.4f}")


def _train(
    training: _DeepTraining,
    train: _SomeRows,
    held_out: _SomeRows,
    fitting: FitSettings,
    accelerator: str,
    seed: int,
    advance: Advance,
) -> LossCurve:
    rows = min(len(train), fitting.epoch_rows)
    batches = min(fitting.most_batches, max(1, round(rows / fitting.batch_rows)))
    patience = math.ceil(
        fitting.patience * fitting.most_batches / batches
    )  # what is learned takes steps, however short the epochs
    alone = fitting.devices == 1
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=fitting.devices,
        # Not "ddp", which runs the whole command once more for every device.
        strategy="auto" if alone else "ddp_spawn",
        use_distributed_sampler=False,
        max_epochs=fitting.max_epochs,
        callbacks=[EarlyStopping(KEPT, patience=patience), *([_Tells(advance)] if alone else [])],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
        gradient_clip_val=5.0,
        num_sanity_val_steps=0,
    )
    shuffle = np.random.default_rng(seed)
    trainer.fit(
        training,
        DataLoader(_Batches(train, rows, batches, shuffle), batch_size=None),
        DataLoader(_in_order(held_out), batch_size=None),
    )
    curve = training.curve()
    advance(fitting.max_epochs - (len(curve.validation) if alone else 0), "")
    return curve


def _accelerator(fitting: FitSettings) -> str:
    """`cpu` or `gpu`; InputError where there are too few."""
    gpus = torch.cuda.device_count()
    if fitting.accelerator == "gpu" and gpus < fitting.devices:
        raise InputError([f"fit.accelerator: gpu: there are {gpus} of the {fitting.devices} asked for by fit.devices"])
    return "gpu" if fitting.accelerator != "cpu" and gpus >= fitting.devices else "cpu"


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning advises on loaders and devices; our batches come ready from memory."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    try:
        with warnings.catch_warnings():
            _hush()
            yield
    finally:
        logger.setLevel(level)


def _hush() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*IterableDataset.*")
