"""Scores and catalogues with something wrong in them, as `allocate` meets them."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.properties.bad_inputs.case import (
    Bad,
    Spoil,
    column,
    content,
    edited,
    first,
    gone,
    in_place_of,
    rows,
    without,
)

FILE, CATALOGUE = "scores/part-00000.parquet", "scores/catalogue.json"
ALLOCATE = ("allocate", "scores=scores", "policy=policy.yaml", "out=made")
Values = Callable[[pa.ChunkedArray], object]


def _scores(name: str, spoil: Spoil, *told: str) -> Bad:
    return Bad("scores", name, spoil, ALLOCATE, told)


def _catalogue(name: str, spoil: Spoil, *told: str) -> Bad:
    return Bad("catalogues", name, spoil, ALLOCATE, (CATALOGUE, *told))


def _lists(value: object, width: int = 12, kind: pa.DataType | None = None) -> Values:
    return lambda held: pa.array([[value] * width] * len(held), pa.list_(pa.float32() if kind is None else kind, width))


def _second_file(change: Callable[[pa.Table], pa.Table]) -> Spoil:
    return lambda folder: pq.write_table(change(pq.read_table(folder / FILE)), folder / "scores/part-00001.parquet")


def _stderr(value: float) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column("stderr_subs", pa.chunked_array([_lists(value)(table["user_id"])]))


def _no_files(folder: Path) -> None:
    (folder / FILE).unlink()


SCORES = [
    *(
        _scores(f"without {name}", without(FILE, name), FILE, f"column {name}: is missing")
        for name in ("user_id", "market", "mean_subs", "mean_opt_out")
    ),
    _scores("a mean NaN", column(FILE, "mean_subs", _lists(float("nan"))), FILE, "column mean_subs: 360"),
    _scores("a mean infinite", column(FILE, "mean_subs", _lists(float("inf"))), FILE, "column mean_subs: 360"),
    _scores("a mean null", column(FILE, "mean_revenue", _lists(None)), FILE, "column mean_revenue: 360"),
    _scores("a list missing", column(FILE, "mean_subs", first(None)), FILE, "column mean_subs: "),
    _scores("lists too short", column(FILE, "mean_subs", _lists(0.1, 11)), FILE, "column mean_subs: has type", "[12]"),
    _scores(
        "lists of text", column(FILE, "mean_subs", _lists("x", 12, pa.string())), FILE, "column mean_subs: has type"
    ),
    _scores("one mean for all", column(FILE, "mean_subs", lambda ids: [0.1] * len(ids)), FILE, "column mean_subs: has"),
    _scores("a mean beyond sums", column(FILE, "mean_subs", _lists(3e38)), FILE, "column mean_subs: 360"),
    _scores("a standard error below 0", rows(FILE, _stderr(-1.0)), FILE, "column stderr_subs: 360"),
    _scores("a standard error NaN", rows(FILE, _stderr(float("nan"))), FILE, "column stderr_subs: 360"),
    _scores("eligible as numbers", column(FILE, "eligible", _lists(1.0)), FILE, "column eligible: has type"),
    _scores("eligible too wide", column(FILE, "eligible", _lists(True, 13, pa.bool_())), FILE, "eligible: has type"),
    _scores(
        "a segment as numbers", column(FILE, "market", lambda held: [1] * len(held)), FILE, "column market: has type"
    ),
    _scores(
        "ids as fractions", column(FILE, "user_id", lambda ids: [0.5] * len(ids)), FILE, "column user_id: has type"
    ),
    _scores("an id null", column(FILE, "user_id", first(None)), "column user_id: 1 of 30 rows are missing"),
    _scores("every user twice", _second_file(lambda table: table), "column user_id: 30 of 60 rows repeat"),
    _scores(
        "a metric in one file alone",
        _second_file(lambda table: table.drop_columns("mean_subs")),
        "scores/part-00001.parquet: column mean_subs: is missing",
    ),
    _scores(
        "ids of two kinds",
        _second_file(lambda table: table.set_column(0, "user_id", pa.array(range(len(table))))),
        "scores/part-00001.parquet: column user_id: has type int64 here but string",
    ),
    _scores(
        "eligible in one file alone", _second_file(lambda table: table.drop_columns("eligible")), "column eligible"
    ),
    _scores(
        "a column twice", rows(FILE, lambda table: table.append_column("market", table["market"])), "stands 2 times"
    ),
    _scores("no users", rows(FILE, lambda table: table.slice(0, 0)), "scores: there are no users"),
    _scores("no files", _no_files, "scores: there are no *.parquet files"),
    _scores("a CSV file", content(FILE, "user_id,market\n1,SE\n"), FILE, "is not a readable Parquet file"),
]

CATALOGUES = [
    _catalogue("gone", in_place_of(CATALOGUE, gone), "no such file"),
    _catalogue("no JSON", content(CATALOGUE, "actions: []"), "is not valid JSON"),
    _catalogue("a list", content(CATALOGUE, "[]"), "must hold one JSON object"),
    _catalogue("nothing in it", content(CATALOGUE, "{}"), "actions"),
    _catalogue("no actions", content(CATALOGUE, '{"actions": []}'), "actions"),
    _catalogue("an id twice", edited(CATALOGUE, '"id": "home_1/family"', '"id": "home_1/duo"'), "stands 2 times"),
    _catalogue("an action without a slot", edited(CATALOGUE, '"slot": "push_1",', ""), "slot"),
    _catalogue(
        "an id that is a number",
        edited(CATALOGUE, '"id": "home_1/duo"', '"id": 7'),
        "actions[0].id: must be a non-empty string",
    ),
    _catalogue("an attribute that is a list", edited(CATALOGUE, '"family": "plan"', '"family": ["plan"]'), "family"),
    _catalogue(
        "an amount beyond sums", edited(CATALOGUE, '"discount_eur": 9.0', '"discount_eur": 1e300'), "discount_eur"
    ),
    _catalogue(
        "an amount that is none", edited(CATALOGUE, '"discount_eur": 9.0', '"discount_eur": NaN'), "discount_eur"
    ),
    _catalogue("a metric twice", edited(CATALOGUE, '"name": "opt_out"', '"name": "subs"'), "'subs' stands 2 times"),
    _catalogue(
        "a metric without a unit",
        edited(CATALOGUE, '"unit": "EUR"', '"unit": 3'),
        "metrics: the unit of 'revenue' must be text",
    ),
    _catalogue("a day of words", edited(CATALOGUE, "2026-11-23", "last Monday"), "as_of", "is not a date like"),
    _catalogue("a day of the year 1", edited(CATALOGUE, "2026-11-23", "0001-01-01"), "as_of", "1000"),
    _catalogue("a segment that is a column", edited(CATALOGUE, '"market"', '"user_id"'), "segments"),
]
