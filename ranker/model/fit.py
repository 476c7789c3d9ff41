"""Training: each member of the ensemble learns without one fold of users and stops when that fold no longer gains.

Axes: R rows, C channels, M attributes, O outcomes.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from ranker.features import fit_encoder
from ranker.logs import Logs
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, examples_of, stabilised_weights
from ranker.model.losses import Target, fit_target, with_contact
from ranker.model.network import ValueNet, action_code
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.splits import Splits, split_users


@dataclass(frozen=True)
class Curve:
    """Losses per epoch of one member; best is the epoch whose weights were kept (counted from 1)."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best: int


@dataclass(frozen=True)
class Fit:
    """A trained ensemble, not yet calibrated, with the data it was trained on."""

    model: ValueModel
    examples: Examples
    splits: Splits
    curves: tuple[Curve, ...]
    seconds: float


Advance = Callable[[int, str], object]  # epochs done since the last call, and a note


def fit(
    logs: Logs,
    settings: ModelSettings,
    fitting: FitSettings,
    seed: int,
    advance: Advance = lambda epochs, note: None,
) -> Fit:
    """Trains the ensemble on the users outside the test share. The same for the same logs, settings, seed and threads.

    advance: told of every epoch; `fitting.max_epochs` for each member in all, those left out by an early stop included.
    """
    started = time.perf_counter()
    splits = split_users(logs.frame["user_id"], settings.members, fitting.test_share, seed)
    learn_frame = logs.frame[splits.learn_R]
    encoder = fit_encoder(learn_frame, logs.schema)
    examples = examples_of(logs, encoder)
    targets = _targets(logs, examples.take(splits.learn_R), settings, fitting)
    code = action_code(logs.actions)
    table_AM = torch.from_numpy(code.table(logs.actions, none=True))
    members, curves = [], []
    with _threads(fitting.threads), torch.random.fork_rng(devices=[]), _quiet_lightning():
        for fold in range(settings.members):
            torch.manual_seed(seed * 1_000 + fold)
            network = ValueNet(
                settings,
                numeric=encoder.numeric_width,
                levels=sum(encoder.level_counts),
                targets=targets,
                prior_M=code.prior_sd(settings),
            )
            data = _tensors(examples, splits, fold, fitting)
            curves.append(_train(network, targets, table_AM, *data, fitting, seed * 1_000 + fold, advance))
            members.append(network.eval())
    model = ValueModel(
        settings=settings,
        schema=logs.schema,
        encoder=encoder,
        targets=targets,
        code=code,
        actions=logs.actions,
        members=tuple(members),
        calibration=None,
        as_of=logs.frame["as_of"].max().date(),
    )
    return Fit(model, examples, splits, tuple(curves), time.perf_counter() - started)


def _targets(logs: Logs, learn: Examples, settings: ModelSettings, fitting: FitSettings) -> tuple[Target, ...]:
    weight_R = stabilised_weights(learn.action_R, learn.propensity_R, learn.actions, fitting.weight_clip)
    contacted_R = learn.action_R < learn.actions
    return tuple(
        with_contact(fit_target(o.name, o.kind, o.unit, y_R), y_R, contacted_R, weight_R, settings.contact_sd)
        for o, y_R in zip(logs.schema.outcomes, learn.outcome_RO.T, strict=True)
    )


Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # numeric_RN, index_RG, action_R, outcome_RO, weight_R


def _tensors(examples: Examples, splits: Splits, fold: int, fitting: FitSettings) -> tuple[Batch, Batch]:
    """The rows a member trains on, and those of its held-out fold."""
    weight_R = np.zeros(len(examples))
    learn_R = splits.learn_R
    weight_R[learn_R] = stabilised_weights(
        examples.action_R[learn_R], examples.propensity_R[learn_R], examples.actions, fitting.weight_clip
    )

    def rows(keep_R: np.ndarray) -> Batch:
        part = examples.take(keep_R)
        return (
            torch.from_numpy(part.features.numeric_UN),
            torch.from_numpy(part.features.index_UG),
            torch.from_numpy(part.action_R),
            torch.from_numpy(part.outcome_RO.astype(np.float32)),
            torch.from_numpy(weight_R[keep_R].astype(np.float32)),
        )

    return rows(learn_R & (splits.fold_R != fold)), rows(learn_R & (splits.fold_R == fold))


class _Batches(IterableDataset):
    """Whole batches cut from tensors; collating single rows costs more than the network."""

    def __init__(self, data: Batch, size: int, generator: torch.Generator | None):
        self._data, self._size, self._generator = data, size, generator

    def __len__(self) -> int:
        return max(1, round(len(self._data[0]) / self._size))

    def __iter__(self) -> Iterator[Batch]:
        rows = len(self._data[0])
        order = torch.arange(rows) if self._generator is None else torch.randperm(rows, generator=self._generator)
        for batch in torch.tensor_split(order, len(self)):
            yield tuple(column[batch] for column in self._data)


class _Training(lightning.LightningModule):
    """Weighted negative log likelihood plus the log prior; the rate falls to zero over the epochs."""

    def __init__(self, network: ValueNet, targets: Sequence[Target], table_AM: Tensor, rows: int, fitting: FitSettings):
        super().__init__()
        self.network, self.targets, self.rows, self.fitting = network, targets, rows, fitting
        # A running mean of the weights is what is judged and kept: single steps are noisy where outcomes are rare.
        self.steady = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(fitting.averaging))
        self.register_buffer("table_AM", table_AM)

    def _loss(self, network: torch.nn.Module, batch: Batch) -> Tensor:
        numeric_RN, index_RG, action_R, outcome_RO, weight_R = batch
        link_RC = network(numeric_RN, index_RG, action_R, self.table_AM)
        return (weight_R * loss_of(self.targets, link_RC, outcome_RO)).mean()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = self._loss(self.network, batch)
        self.log("train", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss + self.network.penalty() / self.rows

    def on_train_batch_end(self, outputs: object, batch: Batch, index: int) -> None:
        self.steady.update_parameters(self.network)

    def validation_step(self, batch: Batch, index: int) -> None:
        self.log("validation", self._loss(self.steady, batch), prog_bar=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.fitting.learning_rate, betas=(0.9, 0.99))
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.fitting.learning_rate, total_steps=int(steps), pct_start=0.1, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def loss_of(targets: Sequence[Target], link_RC: Tensor, outcome_RO: Tensor) -> Tensor:
    """[R]: the loss of all outcomes together."""
    links = torch.split(link_RC, [target.channels for target in targets], dim=1)
    losses = [target.loss(link, outcome_RO[:, o]) for o, (target, link) in enumerate(zip(targets, links, strict=True))]
    return torch.stack(losses).sum(0)


class _Best(Callback):
    """Keeps the curve and the weights of the best epoch in memory, and puts them back at the end; tells how far it is."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self.train: list[float] = []
        self.validation: list[float] = []
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.train.append(float(trainer.callback_metrics["train"]))
        self.validation.append(float(trainer.callback_metrics["validation"]))
        if self.validation[-1] <= min(self.validation):
            self.weights = {name: value.detach().clone() for name, value in module.steady.module.state_dict().items()}
        self._advance(1, f"held-out loss {self.validation[-1]:.4f}")

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        module.network.load_state_dict(self.weights)


def _train(
    network: ValueNet,
    targets: Sequence[Target],
    table_AM: Tensor,
    train: Batch,
    held_out: Batch,
    fitting: FitSettings,
    seed: int,
    advance: Advance,
) -> Curve:
    best = _Best(advance)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=fitting.max_epochs,
        callbacks=[EarlyStopping("validation", patience=fitting.patience), best],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
        gradient_clip_val=5.0,
        num_sanity_val_steps=0,
    )
    batch_rows = max(fitting.batch_rows, len(train[0]) // fitting.most_batches)
    shuffle = torch.Generator().manual_seed(seed)
    trainer.fit(
        _Training(network, targets, table_AM, len(train[0]), fitting),
        DataLoader(_Batches(train, batch_rows, shuffle), batch_size=None),
        DataLoader(_Batches(held_out, 16_384, None), batch_size=None),
    )
    advance(fitting.max_epochs - len(best.train), "")
    return Curve(tuple(best.train), tuple(best.validation), int(np.argmin(best.validation)) + 1)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Small matrices gain nothing from many threads, and threads beyond the cores cost a factor of ten."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning advises on loaders and devices; our batches come ready from memory."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*IterableDataset.*")
            yield
    finally:
        logger.setLevel(level)
