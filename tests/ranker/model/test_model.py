"""The network and its calibration against a world whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ranker.model.fit import _pays
from ranker.model.fit_calibration import shrink


def test_effects_and_averages_are_found(trained) -> None:
    world, model = trained.world, trained.model
    test_R = trained.fitted.splits.test_R
    effects = model.effects(trained.fitted.examples.features.take(test_R))
    for name in ("subs", "days"):
        truth_RA, found_RA = world.effect[name][test_R], effects[name].mean_UA
        assert np.corrcoef(truth_RA.ravel(), found_RA.ravel())[0, 1] > 0.85
        assert np.abs(model.calibration.of(name).average_A - truth_RA.mean(0)).max() < 0.35 * np.abs(truth_RA).mean()
        apart_t, apart_f = truth_RA - truth_RA.mean(0), found_RA - found_RA.mean(0)
        assert (apart_t * apart_f).sum() / (apart_f**2).sum() == pytest.approx(
            1.0, abs=0.3
        )  # scores mean what they say


def test_the_outcome_without_contact_is_found(trained) -> None:
    test_R = trained.fitted.splits.test_R
    effects = trained.model.effects(trained.fitted.examples.features.take(test_R))
    for name, none_R in trained.world.none.items():
        assert effects[name].none_U.mean() == pytest.approx(none_R[test_R].mean(), rel=0.15)


def test_where_effects_differ_between_users_the_slope_says_so(trained) -> None:
    assert trained.model.calibration.of("subs").pooled_slope > 0.7


def test_standard_errors_cover_the_average_effects(trained) -> None:
    """Two standard errors hold nearly always; they are of the right size, not merely huge."""
    for name in ("subs", "days"):
        calibration = trained.model.calibration.of(name)
        error_A = calibration.average_A - trained.world.effect[name].mean(0)
        assert (np.abs(error_A) < 2.5 * calibration.average_stderr_A).mean() >= 5 / 6
        assert calibration.average_stderr_A.max() < np.abs(trained.world.effect[name]).mean()


def test_without_signal_between_users_scores_become_the_average(worlds, train) -> None:
    model = train(worlds.make_world(16_000, np.random.default_rng(2), average=1.0, varying=0.0), max_epochs=10)
    signal = model.world.effect["subs"]
    mean_UA = model.model.effects(model.fitted.examples.features)["subs"].mean_UA
    # The truth still varies a little, as the same log odds mean less where the base is low.
    extra = (mean_UA - mean_UA.mean(0)).std() / (signal - signal.mean(0)).std()
    assert extra < 1.6


def test_without_any_effect_nothing_is_claimed(worlds, train) -> None:
    model = train(worlds.make_world(16_000, np.random.default_rng(3), average=0.0, varying=0.0), max_epochs=10).model
    subs = model.calibration.of("subs")
    assert np.abs(subs.average_A).max() < 0.03  # of a rate of 0.2
    assert (np.abs(subs.average_A) < 3 * subs.average_stderr_A).all()


def test_the_same_seed_gives_the_same_model_and_another_seed_another(worlds, train) -> None:
    world = worlds.make_world(1_500, np.random.default_rng(1))
    first, again, other = (train(world, seed, max_epochs=2).model for seed in (7, 7, 8))

    def weights(model):
        return np.concatenate([v.numpy().ravel() for m in model.members for v in m.state_dict().values()])

    assert (weights(first) == weights(again)).all()
    assert first.calibration.to_json() == again.calibration.to_json()
    assert not np.array_equal(weights(first), weights(other))


def test_unseen_categories_and_missing_values_are_scored(trained) -> None:
    frame = pd.DataFrame({"age": [np.nan, 0.0], "streams": [1.0, np.nan], "market": ["XX", None]})
    for effect in trained.model.effects(trained.model.encoder.encode(frame)).values():
        assert np.isfinite(effect.mean_UA).all()
        assert (effect.stderr_UA > 0).all()


def test_a_new_action_gets_what_its_attributes_predict_and_is_less_sure(trained, worlds) -> None:
    known = list(worlds.ACTIONS)
    new = {"id": "push/family/2", "slot": "push_2", "surface": "push", "product": "family"}
    strange = {"id": "car/tickets", "slot": "car_1", "surface": "car", "product": "tickets"}
    features = trained.fitted.examples.features.take(slice(0, 500))
    before = trained.model.effects(features)["subs"]
    after = trained.model.for_actions([*known, new, strange]).effects(features)["subs"]
    np.testing.assert_allclose(after.mean_UA[:, :6], before.mean_UA, rtol=1e-4, atol=1e-6)
    alike = [action["id"] for action in known].index("push/family")
    average_A = after.mean_UA.mean(0)
    assert abs(average_A[6] - average_A[alike]) < abs(average_A[7] - average_A[alike])
    assert abs(average_A[7] - average_A[:6].mean()) < 2 * average_A[:6].std()
    assert (after.stderr_UA[:, 6:].mean(0) > after.stderr_UA[:, :6].mean(0).max()).all()


def test_shrinkage_leaves_clear_differences_and_removes_noise() -> None:
    clear = shrink(np.array([0.0, 1.0, 2.0]), np.full(3, 1e-6), plausible=1.0)
    np.testing.assert_allclose(clear.value_A, [0, 1, 2], atol=1e-3)
    noise = np.random.default_rng(0).normal(size=200)
    flat = shrink(noise, np.ones(200), plausible=1.0)
    assert flat.value_A.std() < 0.35
    assert flat.mean == pytest.approx(noise.mean(), abs=0.05)


def test_an_action_never_seen_gets_the_pooled_mean_and_is_the_least_sure() -> None:
    shrunk = shrink(np.array([1.0, 1.2, 0.8, 0.0]), np.array([0.1, 0.1, 0.1, np.inf]), plausible=0.5)
    assert shrunk.value_A[3] == pytest.approx(shrunk.mean)
    assert shrunk.variance_A.argmax() == 3


def test_the_deep_path_is_kept_only_where_held_out_rows_gain() -> None:
    generator = np.random.default_rng(0)
    gain_RC = generator.normal([0.1, 0.0, -0.1], 1.0, size=(10_000, 3))
    gain_RC[:, 1] -= gain_RC[:, 1].mean()
    assert _pays(gain_RC).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.slow
def test_the_deep_path_learns_what_no_sum_over_features_can_say_and_rests_where_there_is_nothing(worlds, train) -> None:
    """The log odds depend on whether age and streams are on the same side of their medians: nothing to see in either alone."""
    generator = np.random.default_rng(3)
    world = worlds.make_world(12_000, generator, average=0.0, varying=0.0)
    frame = world.logs.frame
    together_R = np.sign(frame["age"].to_numpy() * np.log(frame["streams"].to_numpy()))
    subs_R = (generator.random(len(frame)) < 1 / (1 + np.exp(1.0 - 0.8 * together_R))).astype(float)
    crossed = replace(world, logs=replace(world.logs, frame=frame.assign(subs=subs_R, revenue=7.0 * subs_R)))
    found = train(crossed, max_epochs=15)
    test_R = found.fitted.splits.test_R
    none_U = found.model.effects(found.fitted.examples.features.take(test_R))["subs"].none_U
    assert np.corrcoef(none_U, together_R[test_R])[0, 1] > 0.6
    assert all(curve.validation[curve.best - 1] < curve.linear - 0.01 for curve in found.fitted.curves)
    plain = train(world, max_epochs=5)
    assert all(min(curve.validation) > curve.linear - 0.001 for curve in plain.fitted.curves)


def test_what_averages_leave_in_doubt_is_in_the_standard_error_of_every_score(trained) -> None:
    features = trained.fitted.examples.features.take(slice(0, 200))
    none, once, twice = (
        replace(trained.model, average_variance_CA=np.full_like(trained.model.average_variance_CA, doubt)).effects(
            features
        )
        for doubt in (0.0, 0.5, 1.0)
    )
    for name, effect in none.items():
        added_UA = once[name].stderr_UA ** 2 - effect.stderr_UA**2
        assert added_UA.max() > 0
        np.testing.assert_allclose(twice[name].stderr_UA ** 2 - effect.stderr_UA**2, 2 * added_UA, rtol=0.01, atol=1e-6)
