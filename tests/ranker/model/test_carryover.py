"""What earlier contacts leave of an effect: against the formula on raw features, and in a world where history takes half of effects."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from scipy.special import expit, logit

from ranker.catalogue import Interference, Kept, Pair
from ranker.contact_history import HistoryColumns, Since
from ranker.features import Encoder, fit_encoder
from ranker.log_schema import LogSchema
from ranker.model.carryover import Carryover, Growth, Lately, carryover_of
from ranker.model.ensemble import _variances
from ranker.model.fatigue_and_cannibalisation import estimate
from ranker.model.fit import Fit, fit
from ranker.model.fit_calibration import calibrate
from ranker.model.network import ValueNet
from ranker.model.settings import FitSettings, ModelSettings
from tests.ranker.worlds import ACTIONS, World, make_world

KEPT = 0.6
LEFT, GROWN = 0.8, 0.2  # where effects on one outcome grow
SCHEMA = LogSchema(("contacts", "weeks_since_books", "age"), ("market",), (), "none")
HISTORY = HistoryColumns(28, "contacts", (Since("weeks_since_books", {"product": "books"}, 7),))
GROWTHS = (Growth("days", 0.1, 0.05),)
BOOKS, FAMILY, STUDENT = ({"product": name} for name in ("books", "family", "student"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    weeks_R = generator.choice([1.0, 2.0, 3.0, 4.0, 5.0, 8.0, np.nan], 400)
    return pd.DataFrame(
        {
            "contacts": generator.choice([0.0, 1.0, 2.0, 3.0, 7.0, np.nan], 400),
            "weeks_since_books": weeks_R,
            "age": generator.normal(size=400),
            "market": generator.choice(["SE", "BR"], 400),
        }
    )


@pytest.fixture(scope="module")
def encoder(frame) -> Encoder:
    return fit_encoder(frame, SCHEMA)


def _wide(encoder: Encoder, frame: pd.DataFrame) -> torch.Tensor:
    return torch.from_numpy(encoder.encode(frame).wide(encoder.levels))


def _left(carryover: Carryover, encoder: Encoder, wide_UW: torch.Tensor) -> torch.Tensor:
    return carryover.left(encoder, wide_UW, carryover.excess(encoder, wide_UW), ACTIONS)


def _interference(*pairs: Pair, fatigue: float | None = 0.8) -> Interference:
    return Interference(28, None if fatigue is None else Kept(fatigue, 0.01), pairs)


def _pair(where: dict, beside: dict, kept: float = 0.3, basis: str = "history") -> Pair:
    return Pair(where, beside, Kept(kept, 0.02), basis)


def test_what_is_left_is_the_formula_on_the_features_as_they_were(frame, encoder) -> None:
    carryover = carryover_of(_interference(_pair(FAMILY, BOOKS)), GROWTHS, HISTORY, encoder, {"contacts": 1.5})
    left_UA = _left(carryover, encoder, _wide(encoder, frame))
    contacts_U = frame["contacts"].fillna(1.5).to_numpy()
    lately_U = (frame["weeks_since_books"] <= 4).to_numpy()  # a missing value is not
    assert 0 < lately_U.mean() < 1
    family_A = np.array([action["product"] == "family" for action in ACTIONS])
    wanted_UA = (0.8 ** (contacts_U - 1.5))[:, None] * np.where(lately_U[:, None] & family_A, 0.3, 1.0)
    np.testing.assert_allclose(left_UA, wanted_UA, rtol=1e-4)


def test_effects_of_nobody_are_more_than_four_times_those_of_an_average_history(frame, encoder) -> None:
    carryover = carryover_of(_interference(fatigue=0.2), GROWTHS, HISTORY, encoder, {"contacts": 1.5})
    left_U = _left(carryover, encoder, _wide(encoder, frame))[:, 0].numpy()
    contacts_U = frame["contacts"].fillna(1.5).to_numpy()
    np.testing.assert_allclose(left_U, np.minimum(0.2 ** (contacts_U - 1.5), 4.0), rtol=1e-3)
    assert (left_U == 4.0).any()


def test_the_base_is_of_users_as_they_are_and_effects_by_both_paths_of_users_as_they_are_held() -> None:
    torch.manual_seed(0)
    network = ValueNet(ModelSettings(hidden=(4,)), width=3, channels=2, values=2).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    wide_RW, held_RW, table_AM = torch.randn(5, 3), torch.randn(5, 3), torch.eye(2)
    with torch.inference_mode():
        base_RC, effect_RCA = network(wide_RW, table_AM, held_RW=held_RW)
        torch.testing.assert_close(base_RC, network(wide_RW, table_AM)[0])
        torch.testing.assert_close(effect_RCA, network(held_RW, table_AM)[1])
        assert not torch.allclose(effect_RCA, network(wide_RW, table_AM)[1])


def test_what_is_left_of_an_effect_is_left_of_its_doubt(tiring) -> None:
    """A user of the first contact: with an average history of one contact less, 60 % is left, of the doubt's variance 36 %."""
    world, done = tiring
    features = done.model.encoder.encode(world.logs.frame.iloc[:50].assign(contacts=np.float32(1.0)))
    wide_UW = torch.from_numpy(features.wide(done.model.encoder.levels))
    carried = replace(done.model, carryover=Carryover("contacts", 0.0, KEPT, ()))
    with torch.inference_mode():
        links, remains = carried._links(carried.members, wide_UW, carried.actions)
        within_variance_CA = torch.full(carried.within_variance_CA.shape, 0.01)
        whole, left = (
            next(_variances(links[0], carried.targets, within_variance_CA, each)) for each in (None, remains.left_UA)
        )
    torch.testing.assert_close(left, whole * KEPT**2)


def test_what_contacts_add_is_added_to_every_chance_before_anything_is_left_of_it(tiring) -> None:
    world, done = tiring
    frame = world.logs.frame.iloc[:50].assign(contacts=np.float32([0.0, 1.0, 2.0, 3.0, np.nan] * 10))
    wide_UW = _wide(done.model.encoder, frame)
    without = replace(done.model, carryover=Carryover("contacts", 1.5, KEPT, ()))
    growths = (Growth("days", 0.1, 0.05), Growth("revenue", -0.3, 0.2))
    carried = replace(done.model, carryover=replace(without.carryover, growths=growths))
    with torch.inference_mode():
        before_UCA, after_UCA = (
            model._links(model.members, wide_UW, model.actions)[0][0][1] for model in (without, carried)
        )
        remains = carried._remains(wide_UW, carried.actions)
    apart_U = frame["contacts"].fillna(1.5).to_numpy() - 1.5
    by_channel = {"subs": [0.0], "days": [0.1], "revenue": [-0.3, 0.0]}  # not to the size of an amount
    doubted = {"subs": [0.0], "days": [0.05], "revenue": [0.2, 0.0]}
    added_C, stderr_C = (np.concatenate([each[t.name] for t in carried.targets]) for each in (by_channel, doubted))
    np.testing.assert_allclose(remains.grown_UC, apart_U[:, None] * added_C, atol=1e-5)
    np.testing.assert_allclose(remains.grown_variance_UC, (apart_U[:, None] * stderr_C) ** 2, atol=1e-5)
    moved_UC = (KEPT**apart_U * apart_U)[:, None] * added_C
    np.testing.assert_allclose(
        after_UCA - before_UCA, np.broadcast_to(moved_UC[:, :, None], after_UCA.shape), atol=1e-5
    )


def test_contacts_beyond_any_that_were_logged_add_no_more_than_a_bound(tiring) -> None:
    world, done = tiring
    wide_UW = _wide(done.model.encoder, world.logs.frame.iloc[:2].assign(contacts=np.float32([60.0, 3.0])))
    growths = (Growth("subs", 0.2, 0.1), Growth("days", -0.2, 0.1))
    carried = replace(done.model, carryover=Carryover("contacts", 1.0, 0.5, (), growths))
    remains = carried._remains(wide_UW, carried.actions)
    np.testing.assert_allclose(remains.grown_UC[:, :2], [[1.0, -1.0], [0.4, -0.4]], atol=1e-5)
    assert remains.grown_variance_UC[0, 0] > 10 * remains.grown_variance_UC[1, 0]  # doubt has no bound


def test_doubt_about_what_contacts_add_is_in_the_standard_errors(tiring) -> None:
    world, done = tiring
    frame = world.logs.frame.iloc[:300].assign(contacts=np.float32([0.0, 1.0, 3.0] * 100))
    features = done.model.encoder.encode(frame)
    plain = done.model.calibrated(calibrate(done.model, done.examples, done.splits))
    sure, doubted = (
        replace(plain, carryover=Carryover("contacts", 1.0, 1.0, (), (Growth("days", 0.0, stderr),))).effects(features)
        for stderr in (0.0, 0.1)
    )
    np.testing.assert_array_equal(sure["subs"].stderr_UA, doubted["subs"].stderr_UA)
    more_UA = doubted["days"].stderr_UA ** 2 - sure["days"].stderr_UA ** 2
    # The rate times what the log rate is off by: a tenth per contact.
    rate_UA = sure["days"].none_U[:, None] + sure["days"].mean_UA
    wanted_UA = (rate_UA * 0.1 * np.abs(frame["contacts"].to_numpy() - 1.0)[:, None]) ** 2
    assert np.corrcoef(more_UA.ravel(), wanted_UA.ravel())[0, 1] > 0.98
    assert (np.abs(more_UA[1::3]) < 1e-6).all()


def test_held_users_are_those_of_an_average_history(frame, encoder) -> None:
    carryover = carryover_of(_interference(_pair(FAMILY, BOOKS)), GROWTHS, HISTORY, encoder, {"contacts": 1.5})
    held_UW = carryover.held(encoder, _wide(encoder, frame))
    np.testing.assert_array_equal(held_UW, _wide(encoder, frame.assign(contacts=1.5, weeks_since_books=np.nan)))
    np.testing.assert_allclose(_left(carryover, encoder, held_UW), 1.0, rtol=1e-5)


def test_only_what_features_tell_of_is_carried_over(encoder) -> None:
    known, same_week, untold = _pair(FAMILY, BOOKS), _pair(FAMILY, BOOKS, basis="same week"), _pair(BOOKS, STUDENT)
    held = {"contacts": 1.5}
    found = carryover_of(_interference(known, same_week, untold), GROWTHS, HISTORY, encoder, held)
    assert found == Carryover("contacts", 1.5, 0.8, (Lately(FAMILY, "weeks_since_books", 4.0, 0.3),), GROWTHS)
    assert carryover_of(_interference(known), GROWTHS, None, encoder, {}) is None
    assert carryover_of(_interference(), GROWTHS, HISTORY, encoder, {}) is None  # the column is there and empty
    assert carryover_of(_interference(untold), GROWTHS, replace(HISTORY, contacts=None), encoder, {}) is None
    assert carryover_of(_interference(fatigue=None), GROWTHS, HISTORY, encoder, held) is None
    form = TypeAdapter(Carryover)
    written = json.dumps(form.dump_python(found, mode="json"))
    assert form.validate_python(json.loads(written)).with_features_of(encoder) == found
    with pytest.raises(ValueError, match="'weeks' is none of the numeric features"):
        form.validate_python(json.loads(written.replace("weeks_since_books", "weeks"))).with_features_of(encoder)


@pytest.mark.slow
def test_effects_that_grow_on_one_outcome_while_others_tire_are_found_better_with_it() -> None:
    """Every earlier contact leaves 80 % of an effect, on the scale of the link; on subscribing it adds to each first."""
    generator = np.random.default_rng(6)
    world = make_world(24_000, generator, average=0.5, varying=0.5)
    frame = world.logs.frame
    apart_R = generator.integers(0, 4, len(frame)) - 1.5
    none_R, whole_RA = world.none["subs"], world.none["subs"][:, None] + world.effect["subs"]
    link_RA = logit(whole_RA) - logit(none_R)[:, None] + (GROWN * apart_R)[:, None]
    subs_RA = expit(logit(none_R)[:, None] + LEFT ** apart_R[:, None] * link_RA)
    days_RA = world.none["days"][:, None] * (1 + world.effect["days"] / world.none["days"][:, None]) ** (
        LEFT ** apart_R[:, None]
    )
    arm_R = frame["action"].map({action["id"]: a for a, action in enumerate(ACTIONS)}).fillna(-1).astype(int).to_numpy()
    at = np.arange(len(frame)), arm_R
    frame["subs"] = (generator.random(len(frame)) < np.where(arm_R < 0, none_R, subs_RA[at])).astype(float)
    frame["days"] = generator.poisson(np.where(arm_R < 0, world.none["days"], days_RA[at])).astype(float)
    frame["revenue"] = frame["subs"] * generator.lognormal(2.0, 0.5, len(frame))
    frame["contacts"] = (apart_R + 1.5).astype("float32")
    schema = replace(
        world.logs.schema, numeric=(*world.logs.schema.numeric, "contacts"), history=HistoryColumns(28, "contacts")
    )
    logs = replace(world.logs, schema=schema, frame=frame)
    done = fit(logs, ModelSettings(members=2, hidden=(8,)), FitSettings(max_epochs=1, batch_rows=512), 0)
    plain = done.model.calibrated(calibrate(done.model, done.examples, done.splits))
    estimated = estimate(plain, logs, done.examples, done.splits, "product")
    growth = {each.growth.outcome: each for each in estimated.growths}
    assert growth["subs"].raw == pytest.approx(GROWN, abs=3 * growth["subs"].raw_stderr)
    assert growth["subs"].probability > 0.9
    assert estimated.carryover.kept == pytest.approx(LEFT, abs=0.1)
    assert estimated.carryover.growths == tuple(each.growth for each in estimated.growths)
    features = done.model.encoder.encode(frame.iloc[:4_000])

    def missed(carryover: Carryover) -> float:
        carried = done.model.carrying(carryover, features)
        carried = carried.calibrated(calibrate(carried, done.examples, done.splits))
        true_UA = (subs_RA - none_R[:, None])[:4_000]
        return float(((carried.effects(features)["subs"].mean_UA - true_UA) ** 2).mean() / true_UA.var())

    assert missed(estimated.carryover) < 0.4 * missed(replace(estimated.carryover, growths=()))


@pytest.fixture(scope="module")
def tiring() -> tuple[World, Fit]:
    """Three decisions a user; every earlier contact leaves 60 % of any effect, of those who differ by age as of the average."""
    generator = np.random.default_rng(4)
    world = make_world(24_000, generator)
    frame = world.logs.frame
    contacts_R = generator.integers(0, 4, len(frame))
    left_R = KEPT**contacts_R
    effect = {name: effect_RA * left_R[:, None] for name, effect_RA in world.effect.items()}
    arm_R = frame["action"].map({action["id"]: a for a, action in enumerate(ACTIONS)}).fillna(-1).astype(int).to_numpy()
    contacted_R = np.flatnonzero(arm_R >= 0)
    for name, draw in (("subs", lambda mean: generator.random(len(mean)) < mean), ("days", generator.poisson)):
        mean_R = world.none[name][contacted_R] + effect[name][contacted_R, arm_R[contacted_R]]
        frame.loc[contacted_R, name] = draw(mean_R).astype(float)
    frame["revenue"] = frame["subs"] * generator.lognormal(2.0, 0.5, len(frame))
    frame["contacts"] = contacts_R.astype("float32")
    schema = replace(
        world.logs.schema, numeric=(*world.logs.schema.numeric, "contacts"), history=HistoryColumns(28, "contacts")
    )
    world = World(replace(world.logs, schema=schema, frame=frame), effect, world.none)
    return world, fit(world.logs, ModelSettings(members=2, hidden=(8,)), FitSettings(max_epochs=1, batch_rows=512), 0)


def test_effects_that_history_multiplies_are_found_better_with_it(tiring) -> None:
    world, done = tiring
    plain = done.model.calibrated(calibrate(done.model, done.examples, done.splits))
    estimated = estimate(plain, world.logs, done.examples, done.splits, "product")
    assert estimated.carryover.kept == pytest.approx(KEPT, abs=0.08)
    features = done.model.encoder.encode(world.logs.frame.iloc[:4_000])
    carried = done.model.carrying(estimated.carryover, features)
    carried = carried.calibrated(calibrate(carried, done.examples, done.splits))

    def missed(model) -> float:
        true_UA = world.effect["days"][:4_000]
        return float(((model.effects(features)["days"].mean_UA - true_UA) ** 2).mean() / true_UA.var())

    assert missed(carried) < 0.6 * missed(plain)
    # What history tells was in doubt before; the rest still is.
    left_CA = carried.within_variance_CA / done.model.within_variance_CA
    assert (left_CA > 0.19).all()
    assert (left_CA <= 1).all()
    days = [target.name for target in done.model.targets].index("days")
    channel = sum(target.channels for target in done.model.targets[:days])
    assert left_CA[channel].mean() < 0.8
