"""What is recorded of a week, read from its folder as far as it came: a record for the week and one for each stage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

from allocator.formats import AUDIT, CERTIFICATE, AuditRecord, Certificate
from ranker.catalogue import CATALOGUE_FILE
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from ranker.files import Document
from scripts.cli.settings import Settings
from scripts.formats.drift import DRIFT, DriftRecord
from scripts.formats.gates import GATES, OVERRIDDEN, REFUSED, GatesRecord
from scripts.formats.manifest import MANIFEST
from scripts.formats.regret import REGRET, Regret
from scripts.formats.rehearsal import REHEARSAL, Rehearsal
from scripts.formats.run_record import RUN, RunRecord
from scripts.runs import digests
from scripts.runs.champion import CHAMPION
from scripts.runs.metrics import (
    certificate_metrics,
    certificate_tables,
    drift_metrics,
    drift_tables,
    evaluation_metrics,
    evaluation_tables,
    gate_metrics,
    gate_tables,
    rehearsal_metrics,
    training_curves,
    truth_metrics,
)
from scripts.runs.params import short_params
from scripts.runs.published import current

Tables = Mapping[str, Sequence[Mapping[str, object]]]
D = TypeVar("D", bound=Document)
T = TypeVar("T")


@dataclass(frozen=True)
class StageRecord:
    """One stage as a child run: its metrics (with a curve per name where there are steps), params, datasets and files.

    datasets: (path, context). files: (path, folder among the artifacts).
    """

    name: str
    seconds: float = 0.0
    resumed: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    datasets: Sequence[tuple[Path, str]] = ()
    files: Sequence[tuple[Path, str]] = ()
    tables: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class WeekRecord:
    """What is recorded of one weekly run."""

    name: str
    folder: Path
    settings: Settings
    finished: bool
    stages: Sequence[StageRecord]
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Sequence[tuple[Path, str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: Tables = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.stages)

    @property
    def day(self) -> date | None:
        """The day that the week's scores are for."""
        told = self.tags.get("offermix.as_of")
        return None if told is None else date.fromisoformat(told)

    @property
    def published(self) -> bool:
        return self.tags["offermix.published"] == "true"


def read_week(
    name: str, folder: Path, settings: Settings, seconds: Mapping[str, tuple[float, bool]], *, finished: bool
) -> WeekRecord:
    """What is recorded of the run in `folder`, as far as it came. seconds: per command its wall time, and whether it was skipped."""
    return WeekRecord(
        name=name,
        folder=folder,
        settings=settings,
        finished=finished,
        stages=[each for each in _stages(folder, settings, seconds) if finished or each.name in seconds],
        metrics=_week_metrics(folder, seconds) if finished else {},
        files=[
            (settings.weekly.policy, "policy"),
            (folder / "regret" / REGRET, "regret"),
            (folder / "rehearsal" / REHEARSAL, "rehearsal"),
            (folder / "report", "report"),
            (folder / GATES, "gates"),
        ],
        tags=_told_of(name, folder, settings) | _refused_by(folder),
        tables=_of_certificate(folder, certificate_tables) | _told(GatesRecord, folder / GATES, gate_tables),
    )


def _told(kind: type[D], path: Path, figures: Callable[[D], Mapping[str, T]]) -> dict[str, T]:
    """Figures of a file, or none where there is no sound one."""
    found = kind.from_file_if_sound(path)
    return {} if found is None else dict(figures(found))


def _of_certificate(folder: Path, figures: Callable[[Certificate], Mapping[str, T]]) -> dict[str, T]:
    return _told(Certificate, folder / "allocation" / CERTIFICATE, figures)


def _allocation_metrics(folder: Path) -> dict[str, float]:
    audit = folder / "allocation" / AUDIT
    return _of_certificate(folder, certificate_metrics) | _told(
        AuditRecord, audit, lambda found: {"audit/clean": float(found.all_passed)}
    )


def _week_metrics(folder: Path, seconds: Mapping[str, tuple[float, bool]]) -> dict[str, float]:
    """Those of the allocation first: of many, the last ones stand in a table alone."""
    return (
        _allocation_metrics(folder)
        | _told(Regret, folder / "regret" / REGRET, truth_metrics)
        | _told(Rehearsal, folder / "rehearsal" / REHEARSAL, rehearsal_metrics)
        | _told(GatesRecord, folder / GATES, gate_metrics)
        | {f"seconds/{command}": took for command, (took, _) in seconds.items()}
    )


def _stages(folder: Path, settings: Settings, seconds: Mapping[str, tuple[float, bool]]) -> list[StageRecord]:
    """In the order in which they ran; those of earlier calls, of which files are there, come last."""
    records = (_train(folder, settings), _score(folder), _allocate(folder, settings), *_drift(folder))
    known = {each.name: each for each in records}
    found = []
    for command in dict.fromkeys([*seconds, *known]):
        took, resumed = seconds.get(command, (0.0, True))
        found.append(replace(known.get(command, StageRecord(command)), seconds=took, resumed=resumed))
    return found


def _train(folder: Path, settings: Settings) -> StageRecord:
    evaluation = folder / "model" / EVALUATION
    chosen = {"model": settings.model.model_dump(), "fit": settings.fit.model_dump(), "seed": settings.seed}
    return StageRecord(
        "train",
        metrics=_told(ModelEvaluation, evaluation, evaluation_metrics),
        curves=_told(ModelEvaluation, evaluation, training_curves),
        tables=_told(ModelEvaluation, evaluation, evaluation_tables),
        params=short_params(chosen),
        datasets=[(folder / "logs", "training")],
        files=[(folder / "model", "model")],
    )


def _score(folder: Path) -> StageRecord:
    scores = folder / "scores"
    files = [(scores / CATALOGUE_FILE, "scores"), (scores / MANIFEST, "scores")]
    return StageRecord("score", datasets=[(scores, "scores")], files=files)


def _allocate(folder: Path, settings: Settings) -> StageRecord:
    return StageRecord(
        "allocate",
        metrics=_allocation_metrics(folder),
        params=short_params({"solve": settings.solve.model_dump(), "set": settings.set}),
        datasets=[(folder / "scores", "scores")],
        files=[(path, "allocation") for path in sorted((folder / "allocation").glob("*.json"))],
        tables=_of_certificate(folder, certificate_tables),
    )


def _drift(folder: Path) -> Iterator[StageRecord]:
    """None where the week was not looked at for drift."""
    found = DriftRecord.from_file_if_sound(folder / "drift" / DRIFT)
    if found is not None:
        files = [(folder / "drift", "drift")]
        yield StageRecord("drift", metrics=drift_metrics(found), tables=drift_tables(found), files=files)


def _told_of(name: str, folder: Path, settings: Settings) -> dict[str, str]:
    """What a week is looked for by."""
    certificate = Certificate.from_file_if_sound(folder / "allocation" / CERTIFICATE)
    last, began = current(folder.parent), folder / RUN
    logs = folder / "logs"
    told = {
        "week": name,
        "as_of": None if certificate is None else certificate.as_of,
        "policy": settings.weekly.policy.stem,
        "policy_digest": None if certificate is None else certificate.policy_digest,
        "data_digest": digests.told_digest(logs)[:16] if logs.is_dir() else None,
        "published": str(last is not None and last.run == name).lower(),
        "previous": RunRecord.from_file(began).previous if began.exists() else None,
        "scored_by": CHAMPION if (folder / CHAMPION).is_dir() else "the week's own model",
    }
    return {f"offermix.{key}": value for key, value in told.items() if value}


def _refused_by(folder: Path) -> dict[str, str]:
    """The gates that did not let the week through, and those that somebody overrode."""
    gates = GatesRecord.from_file_if_sound(folder / GATES)
    found = {} if gates is None else {"refused_by": gates.of(REFUSED), "overridden": gates.of(OVERRIDDEN)}
    named = {key: dict.fromkeys(each.gate for each in findings) for key, findings in found.items()}
    return {f"offermix.{key}": ", ".join(gates) for key, gates in named.items() if gates}
