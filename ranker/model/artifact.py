"""A model on disk: model.json (strict JSON, readable) and weights.safetensors, whose digest model.json records.

Loading executes nothing from the files: names, numbers and tensors of known shapes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ranker.catalogue import Interference, Unidentified, action_problems
from ranker.features import Encoder
from ranker.files import InputError, json_text, read_bytes, read_json_object
from ranker.log_schema import LogSchema, Outcome
from ranker.model.calibration import KEYS, Calibration
from ranker.model.carryover import Carryover
from ranker.model.ensemble import ValueModel
from ranker.model.network import ActionCode, ValueNet
from ranker.model.outcome_heads import Target
from ranker.model.settings import MODEL, WEIGHTS, ModelSettings

FORMAT = 4
MOST_WEIGHTS = 4 << 30


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
    (path / WEIGHTS).write_bytes(weights)
    content = {**_description(model), "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()}}
    identity = hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
    (path / MODEL).write_text(json_text({"format": FORMAT, "id": identity, **content, "evaluation": summary}))
    return identity


def _description(model: ValueModel) -> dict:
    if model.calibration is None:
        raise ValueError("only calibrated models are saved")
    return {
        "as_of": model.as_of.isoformat(),
        "settings": model.settings.model_dump(mode="json"),
        "schema": model.schema.to_json(),
        "encoder": model.encoder.to_json(),
        "targets": [
            {**vars(target), "start": list(target.start), "noise": list(target.noise)} for target in model.targets
        ],
        "attributes": [[name, list(values)] for name, values in model.code.values],
        "actions": [dict(action) for action in model.actions],
        "calibration": model.calibration.to_json(),
        "interference": None if model.interference is None else model.interference.to_json(),
        "carryover": None if model.carryover is None else model.carryover.to_json(),
        **({"unidentified": [each.to_json() for each in model.unidentified]} if model.unidentified else {}),
    }


def load_model(path: Path) -> tuple[ValueModel, str]:
    """The model in directory `path` and its id; InputError where files are missing, damaged or do not belong together."""
    content = read_json_object(path / MODEL)
    if content.get("format") != FORMAT:
        raise InputError([f"{path / MODEL}: format is {content.get('format')!r}; this version reads format {FORMAT}"])
    try:
        tensors = load(_verified_weights(path, content["weights"]["sha256"]))
        return _assembled(content, tensors), str(content["id"])
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


def _assembled(content: Mapping, tensors: Mapping[str, torch.Tensor]) -> ValueModel:
    if problems := list(action_problems(content["actions"])):
        raise ValueError("; ".join(problems))
    settings = ModelSettings.model_validate(content["settings"])
    encoder = Encoder.from_json(content["encoder"])
    targets = tuple(
        Target(**{**target, "start": tuple(target["start"]), "noise": tuple(target["noise"])})
        for target in content["targets"]
    )
    code = ActionCode(tuple((name, tuple(values)) for name, values in content["attributes"]))
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
        schema=_schema(content["schema"]),
        encoder=encoder,
        targets=targets,
        code=code,
        actions=tuple(content["actions"]),
        members=tuple(members),
        mean_features_W=tensors["typical"].numpy(),
        within_variance_CA=tensors["doubt"].numpy(),
        average_variance_CA=tensors["average_doubt"].numpy(),
        calibration=Calibration.from_json(content["calibration"]),
        as_of=date.fromisoformat(content["as_of"]),
        interference=None if content.get("interference") is None else Interference.from_json(content["interference"]),
        carryover=None if content.get("carryover") is None else Carryover.from_json(content["carryover"], encoder),
        unidentified=tuple(Unidentified(**each) for each in content.get("unidentified", ())),
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


def _schema(content: Mapping) -> LogSchema:
    return LogSchema(
        numeric=tuple(content["features"]["numeric"]),
        categorical=tuple(content["features"]["categorical"]),
        outcomes=tuple(Outcome(**outcome) for outcome in content["outcomes"]),
        none=content["none"],
    )


def _verified_weights(path: Path, digest: str) -> bytes:
    file = path / WEIGHTS
    weights = read_bytes(file, MOST_WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != digest:
        raise InputError([f"{file}: is not the file that {MODEL} was written with (its sha256 differs)"])
    return weights
