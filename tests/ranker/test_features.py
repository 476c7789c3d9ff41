"""Features as numbers: heavy tails, missing and unseen values, strict JSON."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from ranker.features import BEND, FURTHEST, LEVEL, TREND, Encoder, fit_encoder
from ranker.log_schema import LogSchema

SCHEMA = LogSchema(("income", "constant"), ("market",), (), "none")


@pytest.fixture
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"income": generator.lognormal(3, 2, 1_000), "constant": 5.0, "market": generator.choice(["SE", "NO"], 1_000)}
    )


def test_numbers_are_standardised_and_no_tail_runs_away(frame) -> None:
    encoded = fit_encoder(frame, SCHEMA).encode(frame).numeric_UI
    assert encoded[:, 0].mean() == pytest.approx(0, abs=0.02)
    assert encoded[:, 0].std() == pytest.approx(1, abs=0.05)
    extreme = pd.DataFrame({"income": [1e12, -1e12], "constant": [5.0, 9.0], "market": ["SE", "NO"]})
    assert np.abs(fit_encoder(frame, SCHEMA).encode(extreme).numeric_UI).max() <= FURTHEST


def test_order_is_kept(frame) -> None:
    encoded = fit_encoder(frame, SCHEMA).encode(frame).numeric_UI[:, 0]
    assert (np.argsort(encoded, kind="stable")[:900] == np.argsort(frame["income"], kind="stable")[:900]).all()


def test_missing_numbers_are_average_and_marked(frame) -> None:
    gone = frame.assign(income=np.nan).iloc[:3]
    encoded = fit_encoder(frame, SCHEMA).encode(gone).numeric_UI
    np.testing.assert_array_equal(encoded[:, 0], 0)
    np.testing.assert_array_equal(encoded[:, 2], 1)


def test_unseen_and_missing_categories_share_index_zero(frame) -> None:
    encoder = fit_encoder(frame, SCHEMA)
    few = pd.DataFrame({"income": 1.0, "constant": 5.0, "market": ["NO", "SE", "XX", None]})
    assert encoder.encode(few).index_UG[:, 0].tolist() == [1, 2, 0, 0]


def test_columns_without_any_value_do_no_harm() -> None:
    empty = pd.DataFrame({"income": [np.nan] * 3, "constant": [1.0] * 3, "market": pd.Series([None] * 3, dtype=object)})
    encoded = fit_encoder(empty, SCHEMA).encode(empty)
    assert np.isfinite(encoded.numeric_UI).all()
    assert (encoded.index_UG == 0).all()


def test_the_encoder_survives_strict_json(frame) -> None:
    encoder = fit_encoder(frame, SCHEMA)
    form = TypeAdapter(Encoder)
    again = form.validate_python(json.loads(json.dumps(form.dump_python(encoder, mode="json"), allow_nan=False)))
    assert again == encoder


def test_levels_of_several_columns_do_not_overlap() -> None:
    schema = LogSchema((), ("a", "b"), (), "none")
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["x", "z"]})
    assert fit_encoder(frame, schema).encode(frame).index_UG.tolist() == [[1, 4], [2, 5]]


def test_holding_a_number_is_encoding_everybody_with_it(frame) -> None:
    encoder = fit_encoder(frame, SCHEMA)
    for value in (7.0, np.nan):
        held, wanted = (
            encoder.holding(encoder.encode(frame), {"income": value}),
            encoder.encode(frame.assign(income=value)),
        )
        np.testing.assert_array_equal(held.numeric_UI, wanted.numeric_UI)
        np.testing.assert_array_equal(held.index_UG, wanted.index_UG)


def test_every_input_has_its_kind(frame) -> None:
    encoder = fit_encoder(frame, SCHEMA)
    # income and its missing indicator, constant and its; market unseen, NO, SE; income missing and five ranges.
    assert encoder.kind_W.tolist() == [TREND, TREND, LEVEL, LEVEL, *[LEVEL] * 3, *[BEND] * 6]
    assert len(encoder.kind_W) == encoder.width
