"""Training, the whole way: from logs to a calibrated model that knows what earlier contacts leave of an effect.

The ensemble is fitted, with a surrogate index in place of outcomes that are not known yet (`fit`), and calibrated on users whom its
members did not see (`beside`, `fit_calibration`). Fatigue and cannibalisation are estimated from the calibrated effects. Where features
tell of earlier contacts, the model takes what was found into its effects (`carryover`) and is calibrated again.

Axes: R rows.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ranker.logs import Logs, StoredLogs
from ranker.model.beside import calibrated_alone
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, thinned
from ranker.model.fatigue_and_cannibalisation import Estimated, estimate
from ranker.model.fit import Advance, LossCurve, fit
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.splits import Splits
from ranker.model.surrogate import SurrogateFinding
from ranker.model.threads import fixed_threads

HISTORY_ROWS = 4_000  # to learn how far users differ by their history


@dataclass(frozen=True)
class Trained:
    """A calibrated model, and what an evaluation of it needs.

    examples: the logs as the model was calibrated on them, test rows included. splits: which rows are of the test, and of which fold.
    curves: losses of each member. surrogates: what stood in for outcomes not known yet. interference: None where the logs do not tell.
    """

    model: ValueModel
    examples: Examples
    splits: Splits
    curves: tuple[LossCurve, ...]
    surrogates: tuple[SurrogateFinding, ...]
    interference: Estimated | None


def train(
    logs: Logs | StoredLogs,
    settings: ModelSettings,
    fitting: FitSettings,
    seed: int,
    *,
    advance: Advance = lambda epochs, note: None,
    folder: Path | None = None,
    constant_too: bool = False,
) -> Trained:
    """Trains and calibrates a model; the same for the same logs, settings, seed and `fitting.threads`.

    Args:
        logs: decisions, in memory or in files; those of the test share of users are neither learned from nor calibrated on.
        settings: the shape of the networks and the scales of the priors.
        fitting: epochs, test share, threads, and the attribute whose values may spoil each other's effect.
        seed: of the split of users and of the networks.
        advance: is told of epochs done and a note; `settings.members * fitting.max_epochs` epochs in all.
        folder: where encoded features are kept; in memory if None. `Trained.examples` reads them as long as it is used.
        constant_too: whether outcomes that never vary are taken as well, as a closed loop of few decisions may have them.

    Returns:
        The calibrated model with the examples and splits that it was trained on. Effects are in the outcomes' natural units.

    Raises:
        InputError: the logs hold too few users, or an outcome that never varies, or show nothing, or no action, by chance; rows of one
            decision contradict each other; fewer GPUs than `fitting.devices` asks for.
    """
    with fixed_threads(fitting.threads):
        fitted = fit(logs, settings, fitting, seed, advance, folder, constant_too=constant_too)
        model, examples = calibrated_alone(fitted.model, fitted.examples, fitted.splits)
        found = estimate(model, logs, examples, fitted.splits, fitting.interference)
        if found is not None:
            model, examples = _carrying(replace(model, interference=found.interference), examples, fitted.splits, found)
    return Trained(model, examples, fitted.splits, fitted.curves, fitted.findings, found)


def _carrying(model: ValueModel, examples: Examples, splits: Splits, found: Estimated) -> tuple[ValueModel, Examples]:
    """The model with what features tell of earlier contacts, calibrated anew; as it was where they tell nothing."""
    if found.carryover is None:
        return model, examples
    some = thinned(np.flatnonzero(splits.learn_R), HISTORY_ROWS)
    return calibrated_alone(model.carrying(found.carryover, examples.features.take(some)), examples, splits)
