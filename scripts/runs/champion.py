"""Champion and challenger: which of two models scores a week, by a stated rule, and who changed that by hand.

The files of a champion are downloaded and read as ours (JSON and tensors, with the digests of the registered version): no code of the
registry is run. Where MLflow cannot be asked, a week goes on with the model that it trained.
"""

import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ranker import disk
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from ranker.files import InputError, sha256_of
from ranker.model.settings import MODEL, WEIGHTS
from scripts.cli.settings import ChampionOptions, Settings
from scripts.runs import stage
from scripts.runs.mlflow_store import connect
from scripts.runs.params import sanitised, without_password
from scripts.runs.published import published_before
from scripts.served.files import OF_THE_MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases of the registered model; the first is also the folder of a run that a champion scored."""
BEFORE = "champion_before"
"""The tag of a champion that names the version before it."""
log = logging.getLogger("offermix.champion")


@dataclass(frozen=True)
class ChampionVerdict:
    """Whether the challenger takes the champion's place, and why, in one sentence."""

    won: bool
    sentence: str


def verdict(challenger: ModelEvaluation, champion: ModelEvaluation, rule: ChampionOptions) -> ChampionVerdict:
    """By the doubly robust value of the objective and the pooled calibration slopes, each of the held-out users of its own logs.

    A user is held out by a hash, so these are the same people where both models were trained with one seed; their decisions are of
    different days, and the two errors are taken as independent. The challenger is newer, so it wins unless it is shown to be worse.
    """
    new, old = _value(challenger), _value(champion)
    if new is None:
        return ChampionVerdict(False, "the champion stays: the challenger's held-out value is not known")
    if old is None:
        return ChampionVerdict(True, "the challenger takes over: the champion's held-out value is not known")
    difference, stderr = new[0] - old[0], math.hypot(new[1], old[1])
    told = f"its held-out value per decision is {new[0]:.4g} against {old[0]:.4g}, {difference:+.2g} with a standard error of {stderr:.2g}"
    if difference < -rule.value_errors * stderr:
        return ChampionVerdict(False, f"the champion stays: of the challenger, {told}")
    if worse := _worse_slopes(challenger, champion, rule.slope_errors):
        return ChampionVerdict(
            False, f"the champion stays: the challenger's slope of calibration is further from 1 for {', '.join(worse)}"
        )
    return ChampionVerdict(True, f"the challenger takes over: {told}, and its calibration is no worse")


def _value(found: ModelEvaluation) -> tuple[float, float] | None:
    """The value of the model's own policy and its standard error, of the objective where there is one, else of the first outcome."""
    wanted = "objective" if found.objective else next(iter(found.outcomes), "")
    figure = found.value_by_model(wanted)
    return None if figure is None or figure.value is None else (figure.value, figure.stderr or 0.0)


def _worse_slopes(challenger: ModelEvaluation, champion: ModelEvaluation, errors: float) -> list[str]:
    """Outcomes whose slope over actions is further from 1 than the champion's, by more than so many standard errors of the difference."""
    old = {each.outcome: each.actions for each in champion.calibration_pooled}
    worse = []
    for each in challenger.calibration_pooled:
        new, before = each.actions, old.get(each.outcome)
        if before is None or new.value is None or before.value is None:
            continue
        stderr = math.hypot(new.stderr or 0.0, before.stderr or 0.0)
        if abs(new.value - 1) - abs(before.value - 1) > errors * stderr:
            worse.append(f"{each.outcome} ({new.value:.2f} against {before.value:.2f})")
    return worse


def model_in_charge(settings: Settings, folder: Path) -> Path:
    """The folder of the model that scores the run in `folder`: its own, or the champion's files where the champion stays.

    A run has the champion's files only where they score it: what an earlier run linked here, or an earlier call left, is removed.
    """
    own, kept = folder / "model", folder / CHAMPION
    if folder.name in {pointer.run for pointer in published_before(folder.parent)}:
        return kept if kept.is_dir() else own
    chosen = _chosen(settings, own, kept)
    if chosen == own and kept.exists():
        disk.remove(kept)
    return chosen


def _chosen(settings: Settings, own: Path, kept: Path) -> Path:
    if not settings.tracking.enabled:
        return own
    try:
        return _settled(settings, own, kept)
    except InputError:
        raise
    except Exception as error:
        reason = without_password((str(error).strip().splitlines() or [""])[0])[:300]
        log.warning("MLflow: the champion could not be asked for (%s: %s). %s", type(error).__name__, reason, OWN)
        return own


OWN = "This week is scored with the model that it trained."


def _settled(settings: Settings, own: Path, kept: Path) -> Path:
    client, _ = connect(settings)
    name = sanitised(settings.tracking.registered_model)
    version = version_under(client, name, CHAMPION)
    if version is None:
        log.info("There is no champion yet. %s", OWN)
        return own
    if version.tags.get("weights_sha256") == sha256_of(own / WEIGHTS):
        return own
    with tempfile.TemporaryDirectory() as place:
        files = _downloaded(client, version, Path(place))
        found = verdict(
            ModelEvaluation.from_file(own / EVALUATION),
            ModelEvaluation.from_file(files / EVALUATION),
            settings.tracking.champion,
        )
        log.info("Version %s of %s is the champion; %s", version.version, name, found.sentence)
        if found.won:
            return own
        config = {"version": str(version.version), "weights": version.tags.get("weights_sha256")}
        with stage.resuming():
            try:
                with stage.write(kept, CHAMPION, [own], config) as made:
                    for file in OF_THE_MODEL:
                        disk.copy(files / file, made / file)
            except stage.StillCurrent:
                pass
    return kept


def version_under(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """None where nothing has the alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _downloaded(client: "MlflowClient", version: "ModelVersion", place: Path) -> Path:
    """The model's own files of a version, each the one that the version's tags name."""
    from mlflow.artifacts import download_artifacts

    source = client.get_model_version_download_uri(version.name, version.version)
    for file in OF_THE_MODEL:
        download_artifacts(f"{source}/artifacts/{file}", dst_path=str(place), tracking_uri=client.tracking_uri)
    for file, tag in ((WEIGHTS, "weights_sha256"), (MODEL, "model_sha256")):
        if sha256_of(place / file) != version.tags.get(tag):
            raise RuntimeError(f"{file} of version {version.version} is not the file that was registered")
    return place


def set_champion(client: "MlflowClient", name: str, version: str, person: str, reason: str) -> bool:
    """Gives a version the alias, and tags that say who did it, why, and which was champion before. False where it is champion already."""
    before = version_under(client, name, CHAMPION)
    if before is not None and str(before.version) == str(version):
        return False
    if before is not None:
        client.set_model_version_tag(name, version, BEFORE, str(before.version))
    client.set_model_version_tag(name, version, "promoted_by", person)
    client.set_model_version_tag(name, version, "promoted_because", reason[:1_000])
    client.set_registered_model_alias(name, CHAMPION, version)
    challenger = version_under(client, name, CHALLENGER)
    if challenger is not None and str(challenger.version) == str(version):
        client.delete_registered_model_alias(name, CHALLENGER)
    return True


def promote(settings: Settings) -> str:
    """Makes a version the champion; a sentence of what became of it. Raises InputError where there is no such version."""
    client, name, person, reason = _asked(settings)
    version = _version(client, name, settings.registry.version or CHALLENGER)
    moved = set_champion(client, name, version, person, reason)
    return f"{name}: version {version} is {'now' if moved else 'already'} the champion"


def demote(settings: Settings) -> str:
    """Gives the alias back to the version before it, or to none; a sentence of what became of it."""
    client, name, person, reason = _asked(settings)
    version = _version(client, name, settings.registry.version or CHAMPION)
    champion = version_under(client, name, CHAMPION)
    if champion is None or str(champion.version) != version:
        raise InputError([f"version: {version} is not the champion of {name}, so there is nothing to take from it"])
    client.set_model_version_tag(name, version, "demoted_by", person)
    client.set_model_version_tag(name, version, "demoted_because", reason[:1_000])
    before = champion.tags.get(BEFORE)
    if before is None:
        client.delete_registered_model_alias(name, CHAMPION)
        return f"{name}: version {version} is the champion no more, and none was before it"
    client.set_registered_model_alias(name, CHAMPION, before)
    return f"{name}: version {before} is the champion again, in place of {version}"


def _asked(settings: Settings) -> tuple["MlflowClient", str, str, str]:
    """Client, model, person and reason."""
    person, reason = (settings.registry.person or "").strip(), (settings.registry.reason or "").strip()
    missing = [
        f"{key}: is missing; give {key}=..." for key, said in (("person", person), ("reason", reason)) if not said
    ]
    if missing:
        raise InputError(missing)
    return connect(settings)[0], sanitised(settings.tracking.registered_model), person, reason


def _version(client: "MlflowClient", name: str, asked: str) -> str:
    """The number of a version by its number or alias."""
    from mlflow.exceptions import MlflowException

    found = None if asked.isdigit() else version_under(client, name, asked)
    if asked.isdigit():
        try:
            found = client.get_model_version(name, asked)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    if found is None:
        raise InputError([f"version: {name} has no version or alias {asked}"])
    return str(found.version)
