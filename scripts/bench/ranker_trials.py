"""The ranker on held-out halves of public randomised trials, next to its baselines and to learners of other libraries.

Everything that learns gets the same half and is judged on the other, one split in a process; peers have a process of their own, which
gets the split from a file. Axes: R rows, A actions, B = A + 1 arms, the last one `none`.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ranker.evaluate import aipw, boosting, budget_curves, objective, trial_benchmark
from ranker.evaluate.baselines import design, fit_arms
from ranker.evaluate.learners import (
    AVERAGE,
    RANDOM,
    RESPONSE,
    RIDGE,
    SINGLE,
    VALUENET,
    WITHOUT_COVARIATES,
    Predictions,
    decisions_of,
    predictions_of,
)
from ranker.evaluate.off_policy import Decisions
from ranker.evaluate.peers import PEERS, Peer, Task
from ranker.evaluate.trial_benchmark import Half
from ranker.log_schema import LogSchema
from ranker.logs import Logs
from ranker.model.examples import Examples, examples_of
from ranker.model.train import train
from ranker.trials import hillstrom, promotion
from ranker.trials.adapters import Trial
from scripts.bench.ranker_figures import OFFERMIX, Spending, Standing, pair
from scripts.bench.results import sources_digest
from scripts.cli.settings import Settings

OF_PEERS = (
    "ranker/evaluate/peers.py",
    "ranker/evaluate/boosting.py",
    "ranker/features.py",
    "ranker/trials/adapters.py",
    "ranker/trials/hillstrom.py",
    "ranker/trials/promotion.py",
)
TEST_SHARE = 0.5
POINTS = 20
BUILT_IN = (RIDGE, SINGLE, RESPONSE)


@dataclass(frozen=True)
class Source:
    """A trial: its file, how it is read, and what is judged. fixed: the action that one campaign for all would send."""

    file: str
    read: Callable[[Path, float, int], Trial]
    schema: LogSchema
    actions: Sequence[Mapping[str, object]]
    outcome: str
    fixed: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(action["id"]) for action in self.actions)

    @property
    def to_all(self) -> str:
        return f"{self.names[self.fixed]} to all"

    @property
    def learners(self) -> tuple[str, ...]:
        """What is in here, ours first."""
        return OFFERMIX, *BUILT_IN, AVERAGE, self.to_all


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "hillstrom": Source(
            "hillstrom_half.csv.gz", hillstrom.read_trial, hillstrom.SCHEMA, hillstrom.ACTIONS, "visit", 0
        ),
        "promotion": Source(
            "promotion_training.csv.gz", promotion.read_promotion, promotion.SCHEMA, promotion.ACTIONS, "purchase", 0
        ),
    }
)


def run_half(part: str, trials: Path, seed: int, settings: Settings, file: Path) -> list[Standing | Spending]:
    """Ours and the baselines on one split. file: where the split is left for the peers."""
    source = SOURCES[part]
    trial = source.read(trials / source.file, TEST_SHARE, seed)
    learned, test = (Logs(source.schema, source.actions, frame, None) for frame in (trial.train, trial.test))
    started = time.perf_counter()
    trained = train(learned, settings.model, settings.fit.model_copy(update={"test_share": 0.0}), seed)
    model, learn, rows = trained.model, trained.examples, examples_of(test, trained.model.encoder)
    o = [target.name for target in model.targets].index(source.outcome)
    ours_RA = model.effects(rows.features)[source.outcome].mean_UA
    seconds = time.perf_counter() - started
    each = objective.single([target.name for target in model.targets], len(source.names))[o]
    predictions = predictions_of(model, learn, rows, [each])
    arms = fit_arms("binary", design(model.encoder, learn.features), decisions_of(learn), learn.outcome_RO[:, o])
    half = Half(
        source.names, decisions_of(rows), rows.outcome_RO[:, o], arms.expected(design(model.encoder, rows.features))
    )
    scores = {OFFERMIX: ours_RA, **{name: predictions.effect[name][o] for name in BUILT_IN}}
    scores |= {AVERAGE: np.broadcast_to(predictions.average_OA[o], ours_RA.shape)}
    scores |= {source.to_all: np.broadcast_to(np.eye(len(source.names))[source.fixed], ours_RA.shape)}
    found: list[Standing | Spending] = [
        _standing(part, seed, name, half, score_RA, ours_RA, seconds=seconds if name == OFFERMIX else None)
        for name, score_RA in scores.items()
    ]
    plain = [boosting.plain_design(model.encoder, examples.features) for examples in (learn, rows)]
    _leave(file, half, learn, o, plain, ours_RA)
    return [*found, *_spending(part, seed, half, predictions, o, ours_RA)]


def _standing(
    part: str, seed: int, name: str, half: Half, score_RA: np.ndarray, ours_RA: np.ndarray, **told: object
) -> Standing:
    source = SOURCES[part]
    estimates, ahead = {}, {}
    for action, figure in trial_benchmark.qinis(half, score_RA, ours_RA).items():
        estimates[f"qini {action}"], ahead[f"qini {action}"] = pair(figure.own), pair(figure.ours_minus_this)
    if part == "promotion":
        campaign = trial_benchmark.sent(half, score_RA[:, 0], ours_RA[:, 0], promotion.REVENUE, promotion.COST)
        estimates |= {"net": pair(campaign.net.own), "share": [campaign.share, 0.0]}
        estimates |= {} if campaign.rate is None else {"rate": pair(campaign.rate)}
        ahead["net"] = pair(campaign.net.ours_minus_this)
    else:
        figure = trial_benchmark.value(half, score_RA, ours_RA)
        estimates["value"], ahead["value"] = pair(figure.own), pair(figure.ours_minus_this)
        estimates["over fixed"] = pair(trial_benchmark.over_fixed(half, score_RA, source.fixed))
    return Standing(part, 0, seed, name, estimates=estimates, ahead=ahead, **told)


def _spending(
    part: str, seed: int, half: Half, predictions: Predictions, o: int, ours_RA: np.ndarray
) -> Iterator[Spending]:
    """Against the scores' own averages and those of the logs, and a contact at random; every contact costs the same."""
    aipw_RA = aipw.effects(half.decisions, half.outcome_R, half.expected_RB)
    scores = {
        VALUENET: ours_RA,
        WITHOUT_COVARIATES: np.broadcast_to(ours_RA.mean(0, dtype=np.float64), ours_RA.shape),
        AVERAGE: np.broadcast_to(predictions.average_OA[o], ours_RA.shape),
    }
    cost_A = np.ones(len(half.names))
    curves = budget_curves.curves(scores, RANDOM, aipw_RA, half.eligible_RA, cost_A, half.decisions.user_R, POINTS)
    yield from spendings(part, 0, seed, curves)


def spendings(part: str, users: int, seed: int, curves: Sequence[budget_curves.BudgetCurve]) -> Iterator[Spending]:
    """The curves but the first, which is ours, as differences to it."""
    for curve in curves[1:]:
        most = curve.points[-1].budget
        points = [
            [point.budget / most, *pair(ahead)]
            for point, ahead in zip(curve.points, curve.ours_minus_this, strict=True)
        ]
        yield Spending(part, users, seed, curve.name, points, curves[0].points[-1].gain.value)


def _leave(file: Path, half: Half, learn: Examples, o: int, plain: Sequence[np.ndarray], ours_RA: np.ndarray) -> None:
    np.savez(
        file,
        learn_RD=plain[0],
        learn_arm_R=learn.action_R,
        learn_outcome_R=learn.outcome_RO[:, o],
        test_RD=plain[1],
        arm_R=half.decisions.arm_R,
        propensity_R=half.decisions.propensity_R,
        user_R=half.decisions.user_R,
        outcome_R=half.outcome_R,
        expected_RB=half.expected_RB,
        ours_RA=ours_RA,
    )


def run_peers(part: str, seed: int, names: Sequence[str], file: Path, kept: Path, resume: bool) -> list[Standing]:
    """Peers on the split that `run_half` left; what is not installed or fails says so. kept: a folder for what peers believe, which
    depends on the split and not on ours, and takes longest."""
    with np.load(file) as held:
        arrays = dict(held)
    names_of_actions = SOURCES[part].names
    everything_RB = np.ones(arrays["expected_RB"].shape, bool)
    decisions = Decisions(arrays["arm_R"], arrays["propensity_R"], arrays["user_R"], everything_RB)
    half = Half(names_of_actions, decisions, arrays["outcome_R"], arrays["expected_RB"])
    task = Task(
        arrays["learn_RD"],
        arrays["learn_arm_R"],
        arrays["learn_outcome_R"],
        arrays["test_RD"],
        len(names_of_actions),
    )
    return [_peer(part, seed, name, half, task, arrays["ours_RA"], kept, resume) for name in names]


def _peer(
    part: str, seed: int, name: str, half: Half, task: Task, ours_RA: np.ndarray, kept: Path, resume: bool
) -> Standing:
    peer = PEERS[name]
    try:
        version = peer.version
    except PackageNotFoundError:
        return Standing(part, 0, seed, name, f"{peer.package} is not installed")
    file = kept / f"{part} {seed} {name} {version} {sources_digest(OF_PEERS)}.npz"
    try:
        effect_RA, seconds = _believed(peer, task, file if resume else None)
    except Exception as error:
        return Standing(part, 0, seed, name, f"failed: {type(error).__name__}: {str(error)[:200]}", version=version)
    np.savez(file, effect_RA=effect_RA, seconds=seconds)
    return _standing(part, seed, name, half, effect_RA, ours_RA, version=version, seconds=seconds)


def _believed(peer: Peer, task: Task, file: Path | None) -> tuple[np.ndarray, float]:
    """The peer's effects and how long they took, from the file where it is there."""
    if file is not None and file.exists():
        with np.load(file) as held:
            return held["effect_RA"], float(held["seconds"])
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        effect_RA = peer.effects(task)
    return effect_RA, time.perf_counter() - started
