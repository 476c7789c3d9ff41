"""What a verb came to: a folder in the format of the commands, read as frames and records, which can be saved elsewhere."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from allocator.formats import AuditRecord, Certificate
from allocator.saved import SavedAllocation, read_allocation
from ranker import disk
from ranker.catalogue import Catalogue
from ranker.evaluate.records import HeldOutEvaluation, ModelEvaluation
from ranker.files import InputError, some_parquet_files
from ranker.logs import read_logs
from ranker.model.artifact import load_model
from ranker.model.ensemble import ValueModel
from ranker.scores import open_scores
from ranker.tables.prepare import Prepared
from scripts.runs import stage
from scripts.runs.metrics import evaluation_tables

PAGE = "evaluation.html"
K = TypeVar("K", bound="VerbResult")


@dataclass(frozen=True)
class HowFar:
    """How far a verb is: what it is doing, how much of that is done, of how much where that is known, and a remark."""

    what: str
    done: int
    of: int | None = None
    note: str = ""


class OwnFolder:
    """A temporary folder that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="offermix-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class VerbResult:
    """A result in a folder. own: keeps a temporary one until the result is forgotten; None where the caller named the folder."""

    folder: Path
    own: OwnFolder | None = field(default=None, repr=False, kw_only=True)

    def save(self: K, folder: Path | str) -> K:
        """The same in a new folder, which commands read; InputError where it is there already."""
        place = Path(folder)
        stage.make_folder(place.parent)
        with stage.locked(place):
            if place.exists():
                raise InputError([f"{place}: is there already; name a new folder"])
            with stage.first_made(place) as made:
                for entry in sorted(self.folder.iterdir()):
                    (disk.link_tree if entry.is_dir() else disk.link)(entry, made / entry.name)
        return replace(self, folder=place, own=None)


@dataclass(frozen=True)
class PreparedLogs(VerbResult):
    """Logs. counts: of decisions and events, and of what is left out."""

    counts: Prepared

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per logged decision, also of those that are known in part."""
        return read_logs(self.folder).frame


@dataclass(frozen=True)
class TrainedModel(VerbResult):
    """A calibrated model, and what it showed on users who did not train it."""

    model_id: str
    evaluation: ModelEvaluation

    @cached_property
    def model(self) -> ValueModel:
        return load_model(self.folder)[0]

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`policies`, `qini`, `calibration` and `reliability`, as far as there are any."""
        return _frames(self.evaluation)


@dataclass(frozen=True)
class ScoredUsers(VerbResult):
    """What a contact adds, per user, action and metric. received: contacts of earlier days beside them, where exposures were given."""

    users: int
    received: int | None

    @cached_property
    def catalogue(self) -> Catalogue:
        return open_scores(self.folder).catalogue

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per user: `user_id`, segments, and lists with a number per action of the catalogue."""
        return pd.concat([pd.read_parquet(file) for file in some_parquet_files(self.folder)], ignore_index=True)

    def effects(self, metric: str, *, stderr: bool = False) -> pd.DataFrame:
        """One metric, or its standard errors: a row per user, a column per action."""
        column = f"{'stderr' if stderr else 'mean'}_{metric}"
        if column not in self.frame:
            known = [each.name for each in self.catalogue.metrics]
            raise InputError([f"{metric}: the scores have no {column}; their metrics are {', '.join(known)}"])
        users = pd.Index(self.frame["user_id"], name="user_id")
        return pd.DataFrame(np.stack(self.frame[column].tolist()), users, list(self.catalogue.ids))


@dataclass(frozen=True)
class AllocatedContacts(VerbResult):
    """An allocation that was audited. seconds: by stage."""

    seconds: Mapping[str, float]

    @cached_property
    def _saved(self) -> SavedAllocation:
        return read_allocation(self.folder)

    @property
    def certificate(self) -> Certificate:
        """Value, bound, gap and constraints."""
        return self._saved.certificate

    @property
    def audit(self) -> AuditRecord | None:
        """What the independent audit recounted."""
        return self._saved.audit

    @cached_property
    def contacts(self) -> pd.DataFrame:
        """A row per contact: user_id, action, slot, value, margin, runner_up, source, propensity, marginal_propensity."""
        return self._saved.contacts()

    @cached_property
    def constraints(self) -> pd.DataFrame:
        """A row per constraint: bounds, what was achieved, slack, binding side, price."""
        return self._saved.constraints()

    @cached_property
    def prices(self) -> pd.DataFrame:
        """A row per side of every enforced constraint: constraint, side, multiplier."""
        return self._saved.prices()


@dataclass(frozen=True)
class EvaluatedModel(VerbResult):
    """What a model, and a policy by it, is worth on users who did not train it."""

    evaluation: HeldOutEvaluation

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`policies`, `qini`, `calibration` and `reliability`, as far as there are any."""
        return _frames(self.evaluation)

    @property
    def page(self) -> Path:
        """The same as one HTML file."""
        return self.folder / PAGE


def _frames(found: ModelEvaluation | HeldOutEvaluation) -> Mapping[str, pd.DataFrame]:
    return {name: pd.DataFrame(rows) for name, rows in evaluation_tables(found).items()}
