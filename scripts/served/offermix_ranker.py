"""The Python model that MLflow loads: scores of users as a frame, or what they get at a week's prices.

Its files are ours: JSON, and weights as tensors without code. Each must have the digest that it was registered with.
"""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import ValidationError

from allocator.arrivals import PricedWeek
from allocator.formats import PRICES as PRICE_BOOK
from allocator.formats import PriceBook
from ranker.files import InputError
from ranker.model.artifact import load_model
from ranker.model.settings import MODEL
from ranker.predict import predict_held
from ranker.scores import HeldScores
from scripts.served.files import check_digests
from scripts.served.inputs import DECIDE, HISTORY, PRICES

SHA256 = "sha256"
"""The key of the model's configuration that has the digests of its files."""


class OffermixRanker(PythonModel):
    """`predict(frame)` gives a row of scores per user; with `decide`, a row per contact that users get."""

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts[MODEL]).parent
        check_digests(folder, dict(context.model_config[SHA256]))
        self.model, self.model_id = load_model(folder)
        self.week = PricedWeek.read(folder) if PRICE_BOOK in context.artifacts else None

    def predict(self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The scores, or the contacts of users at the prices in `params` or else of the registered week."""
        asked = params or {}
        users = pa.table({n: pa.array(column, from_pandas=True) for n, column in model_input.items() if n != HISTORY})
        if not asked.get(DECIDE):
            return _frame(predict_held(self.model, self.model_id, users).table)
        week = self._priced(str(asked.get(PRICES) or ""))
        scores = predict_held(self.model, self.model_id, users, week.day)
        return _frame(week.decide(scores, _history(model_input, scores)))

    def _priced(self, prices: str) -> PricedWeek:
        if self.week is None:
            raise InputError(["decide: the model was registered without the rules and prices of a week"])
        if not prices:
            return self.week
        try:
            book = PriceBook.model_validate(json.loads(prices))
        except (ValueError, RecursionError, ValidationError):
            raise InputError([f"prices: is not the text of a {PRICE_BOOK}"]) from None
        return self.week.at(book)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Lists of a row as lists of Python, which every way out of MLflow can write."""
    columns = {
        name: table.column(name).to_pylist()
        if pa.types.is_nested(table.schema.field(name).type)
        else table.column(name).to_pandas()
        for name in table.column_names
    }
    return pd.DataFrame(columns)


def _history(frame: pd.DataFrame, scores: HeldScores) -> pa.Table | None:
    """The contacts of earlier days, a row each."""
    if HISTORY not in frame:
        return None
    rows = [
        (user, contact["action"], contact["date"])
        for user, contacts in zip(scores.table.column("user_id").to_pylist(), frame[HISTORY], strict=True)
        for contact in (contacts if isinstance(contacts, list | tuple) or hasattr(contacts, "tolist") else ())
    ]
    users, actions, days = zip(*rows, strict=True) if rows else ((), (), ())
    try:
        dates = [date.fromisoformat(str(day)[:10]) for day in days]
    except ValueError:
        raise InputError([f"{HISTORY}: every date must be a day like 2026-11-23"]) from None
    if (latest := scores.catalogue.as_of) is not None:
        dates = [min(day, latest) for day in dates]  # a contact of the week itself counts as one of its first day
    ids = pa.array(users, scores.table.schema.field("user_id").type)
    return pa.table({"user_id": ids, "action": pa.array(actions, pa.string()), "date": pa.array(dates, pa.date32())})
