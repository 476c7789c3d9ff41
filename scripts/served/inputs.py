"""What the registered model takes, as MLflow states it, and two users who are made up to show it."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property

from ranker.model.ensemble import ValueModel

DECIDE, PRICES = "decide", "prices"
HISTORY = "history"
"""The column of the contacts of earlier days, which contact rules with days count."""
MADE_UP = 2


def signature_of(model: ValueModel, ids: pa.DataType, segments: Sequence[str]) -> ModelSignature:
    """ids: the type of user ids. segments: further columns that policies speak of."""
    further = [name for name in segments if name not in model.schema.categorical]
    kind = DataType.long if pa.types.is_integer(ids) else DataType.string
    contact = Object([Property("action", DataType.string), Property("date", DataType.string)])
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(kind, "user_id"),
        *(ColSpec(DataType.double, name, required=False) for name in model.schema.numeric),
        *(ColSpec(DataType.string, name, required=False) for name in (*model.schema.categorical, *further)),
        ColSpec(Array(DataType.boolean), "eligible", required=False),
        ColSpec(Array(contact), HISTORY, required=False),
    ]
    params = ParamSchema([ParamSpec(DECIDE, DataType.boolean, False), ParamSpec(PRICES, DataType.string, "")])
    return ModelSignature(inputs=Schema(columns), params=params)


def made_up(model: ValueModel, ids: pa.DataType, segments: Sequence[str], as_of: date) -> pd.DataFrame:
    """Users who do not exist: with the middle value of every number, and a value of every category that training knew."""
    users = range(1, MADE_UP + 1)
    columns: dict[str, Sequence[object]] = {
        "user_id": list(users) if pa.types.is_integer(ids) else [f"made-up-{user}" for user in users]
    }
    columns |= {each.name: [each.center] * MADE_UP for each in model.encoder.numeric}
    columns |= {each.name: [each.levels[0] if each.levels else "any"] * MADE_UP for each in model.encoder.categorical}
    columns |= {name: ["any"] * MADE_UP for name in segments if name not in columns}
    contact = {"action": str(model.actions[0]["id"]), "date": as_of.isoformat()}
    columns["eligible"] = [np.ones(len(model.actions), bool).tolist()] * MADE_UP
    columns[HISTORY] = [[contact]] + [[]] * (MADE_UP - 1)
    return pd.DataFrame(columns)
