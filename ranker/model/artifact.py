"""A model on disk: model.json (strict JSON, readable) and weights.safetensors, whose digest model.json records.

Loading executes nothing from the files: names, numbers and tensors of known shapes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from ranker import disk
from ranker.catalogue import Actions, InterferenceRecord, Unidentified
from ranker.features import Encoder
from ranker.files import Contract, InputError, json_text, read_bytes, read_json_object, told
from ranker.log_schema import LogSchemaRecord
from ranker.model.calibration import KEYS, Calibration
from ranker.model.carryover import Carryover
from ranker.model.ensemble import ValueModel
from ranker.model.network import ActionCode, ValueNet
from ranker.model.outcome_heads import Target
from ranker.model.settings import MODEL, WEIGHTS, ModelSettings

FORMAT = 4
MOST_WEIGHTS = 4 << 30


Numbers = Annotated[
    float | tuple[float, ...] | tuple[tuple[float, ...], ...],
    told("must be a number, a list of numbers or a list of such lists", of=None),
]
"""Of one outcome: a number, one per action, or one per member and action; which of them it must be, `_misfits` tells."""


class WeightsRecord(Contract):
    """The file of the weights, and its digest."""

    file: str
    sha256: str


class ModelRecord(Contract):
    """What `model.json` holds. evaluation: figures of the evaluation worth having beside the model."""

    format: int
    id: str
    as_of: date
    settings: ModelSettings
    log_schema: LogSchemaRecord = Field(alias="schema")
    encoder: Encoder
    targets: tuple[Target, ...]
    attributes: tuple[tuple[str, tuple[str, ...]], ...]
    actions: Actions
    calibration: Mapping[str, Mapping[str, Numbers]]
    interference: InterferenceRecord | None = None
    carryover: Carryover | None = None
    unidentified: tuple[Unidentified, ...] = Field(default=(), exclude_if=lambda found: not found)
    weights: WeightsRecord
    evaluation: Mapping[str, Any] = {}

    @classmethod
    def of(cls, model: ValueModel, sha256: str, summary: Mapping[str, object]) -> "ModelRecord":
        """With the id of what it says of the model."""
        if model.calibration is None:
            raise ValueError("only calibrated models are saved")
        known = model.interference
        record = cls.model_construct(
            format=FORMAT,
            id="",
            as_of=model.as_of,
            settings=model.settings,
            log_schema=LogSchemaRecord.of(model.schema),
            encoder=model.encoder,
            targets=model.targets,
            attributes=model.code.values,
            actions=tuple(dict(action) for action in model.actions),
            calibration=model.calibration.to_json(),
            interference=None if known is None else InterferenceRecord.of(known),
            carryover=model.carryover,
            unidentified=model.unidentified,
            weights=WeightsRecord(file=WEIGHTS, sha256=sha256),
            evaluation=summary,
        )
        described = {key: part for key, part in record.content().items() if key not in ("format", "id", "evaluation")}
        text = json.dumps(described, sort_keys=True, allow_nan=False)
        return record.model_copy(update={"id": hashlib.sha256(text.encode()).hexdigest()[:16]})

    def text(self) -> str:
        return json_text(self.content())


def save_model(path: Path, model: ValueModel, summary: Mapping[str, object]) -> str:
    """Writes a calibrated model into the existing directory `path`; returns the model id (of its weights and description).

    summary: figures of the evaluation worth having beside the model.
    """
    tensors = {
        f"member{k}.{name}": tensor.contiguous()
        for k, member in enumerate(model.members)
        for name, tensor in member.state_dict().items()
    }
    arrays = {
        "typical": model.mean_features_W,
        "doubt": model.within_variance_CA,
        "average_doubt": model.average_variance_CA,
    }
    tensors |= {name: torch.from_numpy(array) for name, array in arrays.items()}
    weights = save(tensors)
    disk.write_bytes(path / WEIGHTS, weights)
    record = ModelRecord.of(model, hashlib.sha256(weights).hexdigest(), summary)
    disk.write_text(path / MODEL, record.text())
    return record.id


def load_model(path: Path) -> tuple[ValueModel, str]:
    """The model in directory `path` and its id; InputError where files are missing, damaged or do not belong together."""
    content = read_json_object(path / MODEL)
    if content.get("format") != FORMAT:
        raise InputError([f"{path / MODEL}: format is {content.get('format')!r}; this version reads format {FORMAT}"])
    try:
        record = ModelRecord.model_validate(content)
    except ValidationError as error:
        raise InputError([f"{path / MODEL}: is damaged ({fault})" for fault in ModelRecord.problems(error)]) from None
    try:
        tensors = load(_verified_weights(path, record.weights.sha256))
        return _assembled(record, tensors), record.id
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, InputError):
            raise
        told = " ".join(str(error).split())[:200]
        raise InputError([f"{path / MODEL}: is damaged ({type(error).__name__}: {told})"]) from None


def _assembled(record: ModelRecord, tensors: Mapping[str, torch.Tensor]) -> ValueModel:
    settings, encoder, targets = record.settings, record.encoder, record.targets
    code = ActionCode(record.attributes)
    members = []
    for k in range(settings.members):
        network = ValueNet(
            settings,
            width=encoder.width,
            channels=sum(target.channels for target in targets),
            values=len(code.names),
        )
        prefix = f"member{k}."
        network.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
        members.append(network.eval())
    model = ValueModel(
        settings=settings,
        schema=replace(record.log_schema.log_schema(), early=(), history=None),
        encoder=encoder,
        targets=targets,
        code=code,
        actions=record.actions,
        members=tuple(members),
        mean_features_W=tensors["typical"].numpy(),
        within_variance_CA=tensors["doubt"].numpy(),
        average_variance_CA=tensors["average_doubt"].numpy(),
        calibration=Calibration.from_json(record.calibration),
        as_of=record.as_of,
        interference=None if record.interference is None else record.interference.interference(),
        carryover=None if record.carryover is None else record.carryover.with_features_of(encoder),
        unidentified=record.unidentified,
    )
    if problems := list(_misfits(model)):
        raise ValueError("; ".join(problems))
    return model


def _misfits(model: ValueModel) -> Iterator[str]:
    """Where the calibration is not of these actions and members, or no number."""
    count, shapes = len(model.actions), {"A": (len(model.actions),), "KA": (len(model.members), len(model.actions))}
    for target in model.targets:
        for name, held in vars(model.calibration.of(target.name)).items():
            place, wanted = f"calibration.{target.name}.{KEYS.get(name, name)}", shapes.get(name.rpartition("_")[2], ())
            if np.shape(held) != wanted:
                yield f"{place} has shape {np.shape(held)} where {wanted} belongs to {count} actions"
            elif not np.isfinite(held).all():
                yield f"{place} is not finite"


def _verified_weights(path: Path, digest: str) -> bytes:
    file = path / WEIGHTS
    weights = read_bytes(file, MOST_WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != digest:
        raise InputError([f"{file}: is not the file that {MODEL} was written with (its sha256 differs)"])
    return weights
