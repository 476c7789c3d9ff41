"""The five verbs of a week, for notebooks and programs: each is the command of its name, on frames or paths.

All of them take, besides what is named:

- out: a folder to write, as the command writes it; without it a temporary one, which is gone when the result is forgotten.
- config_dir: a company's own configuration, as `--config-dir` of commands.
- progress: a function that is told of every `HowFar`; nothing is shown otherwise.
- settings: keys of the configuration, as `scripts.library.composed` takes them. Their defaults are those of the commands.

They raise `InputError` with everything that is wrong, in the words of the commands.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranker.catalogue import CATALOGUE_FILE
from ranker.files import InputError
from scripts import allocate as allocate_command
from scripts import evaluate as evaluate_command
from scripts import prepare as prepare_command
from scripts import score as score_command
from scripts import train as train_command
from scripts.cli import entry
from scripts.cli.progress import STAGES, Pace
from scripts.cli.settings import (
    AllocateSettings,
    EvaluateSettings,
    PrepareSettings,
    ScoreSettings,
    TrainSettings,
)
from scripts.cli.shipped import before_it
from scripts.library.composed import settings_for
from scripts.library.given import Frame, HandedOver, Parts, Place, handed_over
from scripts.library.results import (
    AllocatedContacts,
    EvaluatedModel,
    HowFar,
    OwnFolder,
    PreparedLogs,
    ScoredUsers,
    TrainedModel,
    VerbResult,
)

Watch = Callable[[HowFar], object]


@dataclass(frozen=True)
class _VerbCall:
    """A verb under way: what was handed over, where its result goes, and who watches."""

    given: HandedOver
    out: Path
    own: OwnFolder | None
    watch: Watch | None


@contextlib.contextmanager
def _asked(name: str, out: Place | None, config_dir: Place | None, watch: Watch | None) -> Iterator[_VerbCall]:
    own = OwnFolder() if out is None else None
    folder = None if config_dir is None else Path(config_dir)
    if folder is not None and not folder.is_dir():
        raise InputError([f"config_dir={folder}: there is no such folder"])

    def heard(what: str, done: int, of: int | None, note: str) -> None:
        if watch is not None:
            watch(HowFar(what, done, of, note))

    with before_it(folder), entry.heard_by(heard), handed_over() as given:
        yield _VerbCall(given, own.path / name if own is not None else Path(out or ""), own, watch)


class _ToldPace(Pace):
    """A pace that tells a watcher of every step."""

    def __init__(self, watch: Watch | None):
        self._watch, self._expected = watch, 0
        super().__init__()

    def expect(self, users: int, objectives: int = 1) -> None:
        self._expected = users
        super().expect(users, objectives)

    def begin(self, stage: str) -> None:
        super().begin(stage)
        self._tell(stage, 0, "")

    def advance(self, users: int, note: str = "") -> None:
        super().advance(users, note)
        self._tell(list(self._began)[-1], users, note)

    def _tell(self, stage: str, users: int, note: str) -> None:
        if self._watch is not None:
            self._watch(HowFar(STAGES[stage].said, users, self._expected or None, note))


def prepare(
    tables: Parts | Place,
    *,
    out: Place | None = None,
    config_dir: Place | None = None,
    progress: Watch | None = None,
    **settings: object,
) -> PreparedLogs:
    """Joins exposures and outcomes, point in time, to logs.

    Args:
        tables: a folder as the command takes it, or a mapping: `users`, `exposures` and `outcomes` as frames, `schema` and `catalogue`
            as the content of their JSON files or as paths.

    Returns:
        The logs, and how many decisions are in them and left out.
    """
    with _asked("logs", out, config_dir, progress) as asked:
        paths = {"tables": asked.given.tables(tables), "logs": asked.out}
        counts = prepare_command.run(settings_for(PrepareSettings, paths, settings))
    return PreparedLogs(asked.out, counts, own=asked.own)


def train(
    logs: Parts | Place | VerbResult,
    *,
    out: Place | None = None,
    config_dir: Place | None = None,
    progress: Watch | None = None,
    **settings: object,
) -> TrainedModel:
    """Trains, calibrates and evaluates a model.

    Args:
        logs: what `prepare` returned, a folder of logs, or a mapping: `decisions` as a frame, `schema`, and `catalogue` where there is one.

    Returns:
        The model, and what it showed on users who did not train it.
    """
    with _asked("model", out, config_dir, progress) as asked:
        paths = {"logs": asked.given.logs(logs), "model": asked.out}
        made = train_command.run(settings_for(TrainSettings, paths, settings))
    return TrainedModel(asked.out, made.model_id, made.evaluation, own=asked.own)


def score(
    model: Place | VerbResult,
    users: Frame | Place,
    *,
    catalogue: Parts | Place | None = None,
    exposures: Frame | Place | None = None,
    out: Place | None = None,
    config_dir: Place | None = None,
    progress: Watch | None = None,
    **settings: object,
) -> ScoredUsers:
    """What a contact with each action adds for each user.

    Args:
        model: what `train` returned, or a folder of a model.
        users: a frame, or a folder: a row per user.
        catalogue: actions other than the model's; the content of a `catalogue.json`, or its path.
        exposures: contacts of earlier days, for rules that count them; a frame or a folder.

    Returns:
        The scores, as a frame with a row per user, and per metric with a column per action.
    """
    with _asked("scores", out, config_dir, progress) as asked:
        given = asked.given
        paths = {"model": given.frame("model", model), "users": given.frame("users", users), "scores": asked.out}
        paths |= {} if catalogue is None else {"catalogue": given.file(CATALOGUE_FILE, catalogue)}
        paths |= {} if exposures is None else {"exposures": given.frame("exposures", exposures)}
        made = score_command.run(settings_for(ScoreSettings, paths, settings))
    return ScoredUsers(asked.out, made.users, made.received, own=asked.own)


def allocate(
    scores: Parts | Place | VerbResult,
    policy: Parts | Place,
    *,
    changes: Mapping[str, Any] | None = None,
    previous: Place | VerbResult | None = None,
    out: Place | None = None,
    config_dir: Place | None = None,
    progress: Watch | None = None,
    **settings: object,
) -> AllocatedContacts:
    """The contacts that are worth most under the policy, certified and audited.

    Args:
        scores: what `score` returned, a folder of scores, or a mapping: `users` as a frame with a row per user, and `catalogue`.
        policy: a file, the name of a policy that is shipped or the company's own, or the content of one as a mapping.
        changes: rule id -> field -> value, as `set.ID.FIELD=VALUE` of commands.
        previous: an earlier allocation: for first prices, and for rules that compare with it.

    Returns:
        The contacts as a frame, with certificate, constraints, prices and audit.

    Raises:
        Infeasible: the rules contradict each other; carries the diagnosis.
    """
    with _asked("allocation", out, config_dir, progress) as asked:
        given = asked.given
        paths = {"scores": given.scores(scores), "policy": given.policy(policy), "out": asked.out}
        paths |= {} if previous is None else {"previous": given.frame("previous", previous)}
        checked = settings_for(AllocateSettings, paths, {**settings, **({} if changes is None else {"set": changes})})
        made = allocate_command.run(checked, _ToldPace(progress))
    return AllocatedContacts(asked.out, made.seconds, own=asked.own)


def evaluate(
    model: Place | VerbResult,
    logs: Parts | Place | VerbResult,
    *,
    training: Parts | Place | VerbResult | None = None,
    scores: Parts | Place | VerbResult | None = None,
    policy: Parts | Place | None = None,
    changes: Mapping[str, Any] | None = None,
    out: Place | None = None,
    config_dir: Place | None = None,
    progress: Watch | None = None,
    **settings: object,
) -> EvaluatedModel:
    """Judges a model, and the policy it leads to, on users who did not train it.

    Args:
        model: what `train` returned, or a folder of a model.
        logs: to judge by, as `train` takes them; of those that trained the model, the users it did not see.
        training: the logs that trained the model, where these are others.
        scores: those that the policy is meant for.
        policy: as `allocate` takes it; without it the model alone is judged.
        changes: of the policy, likewise.

    Returns:
        Values by off-policy estimators, Qini, calibration and reliability, as frames, a record and a page.
    """
    with _asked("evaluation", out, config_dir, progress) as asked:
        given = asked.given
        paths = {"model": given.frame("model", model), "logs": given.logs(logs), "out": asked.out}
        paths |= {} if training is None else {"training": given.logs(training, "training")}
        paths |= {} if scores is None else {"scores": given.scores(scores)}
        paths |= {} if policy is None else {"policy": given.policy(policy)}
        checked = settings_for(EvaluateSettings, paths, {**settings, **({} if changes is None else {"set": changes})})
        made = evaluate_command.run(checked)
    return EvaluatedModel(asked.out, made, own=asked.own)
