"""The linear path against dense solutions, against itself with and without a fold, and on data with and without effects."""

import numpy as np
import pytest
from scipy.optimize import minimize

from ranker.features import LEVEL, TREND, Features
from ranker.model import linear
from ranker.model.linear import Actions, LinearPath, fit_design, single_outcome_paths
from ranker.model.outcome_heads import IDENTITY, LOG, LOGIT, SIZE, Channel

ROWS, NUMERIC, LEVELS, CHOICES = 6_000, 3, 4, 3
KIND_W = np.repeat([TREND, LEVEL], [NUMERIC, LEVELS])
TABLE_AM = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0]], np.float32)
ACTIONS = Actions(TABLE_AM, np.array([0, 1, 1]), contact_sd=0.5, size_sd=0.1, tails=2.0)


def whole_scales(monkeypatch) -> None:
    """Nothing is averaged over: scales as they are estimated."""
    monkeypatch.setattr(linear, "INTERACTIONS", (1.0,))
    monkeypatch.setattr(linear, "AVERAGES", (1.0,))


def features(generator: np.random.Generator, rows: int = ROWS) -> Features:
    return Features(generator.normal(size=(rows, NUMERIC)).astype(np.float32), generator.integers(0, LEVELS, (rows, 1)))


def with_categories(generator: np.random.Generator, numbers: int, columns: int, levels: int) -> Features:
    number_RI = generator.normal(size=(ROWS, numbers)).astype(np.float32)
    return Features(number_RI, generator.integers(0, levels, (ROWS, columns)) + levels * np.arange(columns))


def truth(generator: np.random.Generator, width: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """base_D, and an effect of the features on the first action's value alone, only the first few features counting."""
    base_D, effect_MD = generator.normal(scale=0.2, size=width), np.zeros((3, width))
    effect_MD[0, 0], effect_MD[1, 1] = size, size
    return base_D, effect_MD


def draw(link: str, generator: np.random.Generator, size: float, rows: int = ROWS):
    x = features(generator, rows)
    design = fit_design(x, KIND_W)
    base_D, effect_MD = truth(generator, design.width, size)
    action_R = generator.integers(0, CHOICES + 1, rows)
    arm_BD = base_D + np.vstack([TABLE_AM @ effect_MD, np.zeros(design.width)])
    eta_R = np.einsum("rd,rd->r", design.matrix(x), arm_BD[action_R])
    y_R = {
        IDENTITY: lambda: eta_R + generator.normal(scale=0.7, size=rows),
        LOGIT: lambda: generator.random(rows) < 1 / (1 + np.exp(-eta_R)),
        LOG: lambda: generator.poisson(np.exp(eta_R)),
    }[link]()
    channel = Channel(link, np.asarray(y_R, np.float32), np.ones(rows, bool))
    return design, x, action_R, channel, effect_MD


def joint(design, x: Features, action_R: np.ndarray) -> np.ndarray:
    """float64[R, D + M D]: the design of base and effects side by side."""
    x_RD = design.matrix(x).astype(np.float64)
    table_BM = np.vstack([TABLE_AM, np.zeros(3)])[action_R]
    return np.hstack([x_RD, (table_BM[:, :, None] * x_RD[:, None, :]).reshape(len(x_RD), -1)])


def vector(path: LinearPath) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.concatenate([path.base_D, path.effect_MD.ravel()]),
        np.concatenate([path.prior_D, path.prior_MD.ravel()]),
    )


def test_with_its_priors_given_it_is_ridge_regression(monkeypatch) -> None:
    monkeypatch.setattr(linear, "TOLERANCE", 1e-9)
    whole_scales(monkeypatch)
    design, x, action_R, channel, _ = draw(IDENTITY, np.random.default_rng(0), 0.5)
    fold_R = np.arange(ROWS) % 2
    path = single_outcome_paths(design, x, fold_R, action_R, ACTIONS, [channel], [0.0])[0][0][0]
    found, prior = vector(path)
    kept = fold_R != 0
    z_RK = joint(design, x, action_R)
    everything = single_outcome_paths(design, x, fold_R, action_R, ACTIONS, [channel], [0.0])[0]
    left = channel.y_R - z_RK @ np.mean([vector(paths[0])[0] for paths in everything], axis=0)
    exact = np.linalg.solve(
        z_RK[kept].T @ z_RK[kept] / left.var() + np.diag(1 / prior), z_RK[kept].T @ channel.y_R[kept] / left.var()
    )
    np.testing.assert_allclose(z_RK @ found, z_RK @ exact, atol=2e-3)


@pytest.mark.parametrize("link", [LOGIT, LOG])
def test_with_its_priors_given_it_is_the_most_likely_of_a_general_solver(link, monkeypatch) -> None:
    whole_scales(monkeypatch)
    design, x, action_R, channel, _ = draw(link, np.random.default_rng(1), 0.4)
    # Two folds of which one has next to nothing, so that the other path is that of nearly all rows.
    fold_R = (np.arange(ROWS) >= ROWS - 1).astype(int)
    found, prior = vector(single_outcome_paths(design, x, fold_R, action_R, ACTIONS, [channel], [0.0])[0][1][0])
    z_RK, y_R = joint(design, x, action_R), channel.y_R.astype(float)

    def unlikely(w):
        eta_R = z_RK @ w
        part_R = np.logaddexp(0, eta_R) if link == LOGIT else np.exp(eta_R)
        mean_R = 1 / (1 + np.exp(-eta_R)) if link == LOGIT else np.exp(eta_R)
        return (part_R - y_R * eta_R).sum() + 0.5 * (w**2 / prior).sum(), z_RK.T @ (mean_R - y_R) + w / prior

    scale = np.sqrt(prior)
    best = minimize(
        lambda v: (unlikely(scale * v)[0], scale * unlikely(scale * v)[1]), found / scale, jac=True, method="L-BFGS-B"
    )
    # The dispersion of counts is estimated, here close to 1.
    np.testing.assert_allclose(z_RK @ found, z_RK @ (scale * best.x), atol=0.03)


@pytest.mark.parametrize(("scales", "share"), [("INTERACTIONS", 0.02), ("AVERAGES", 0.4)])
def test_shares_of_the_scales_weigh_by_how_well_they_foretell_the_other_folds(
    scales: str, share: float, monkeypatch
) -> None:
    whole_scales(monkeypatch)
    design, x, action_R, channel, _ = draw(IDENTITY, np.random.default_rng(6), 0.06)
    fold_R = np.arange(ROWS) % 2
    z_RK = joint(design, x, action_R)
    noise = (channel.y_R - z_RK @ np.linalg.lstsq(z_RK, channel.y_R, rcond=None)[0]).var()

    def tried(*shares: float) -> list[LinearPath]:
        monkeypatch.setattr(linear, scales, shares)
        return [paths[0] for paths in single_outcome_paths(design, x, fold_R, action_R, ACTIONS, [channel], [0.0])[0]]

    def foretold(paths: list[LinearPath]) -> float:
        left_FR = channel.y_R - np.stack([z_RK @ vector(path)[0] for path in paths])
        return -0.5 * sum((left_FR[fold, fold_R == fold] ** 2).sum() for fold in range(2)) / noise

    all_of_it, little = tried(1.0), tried(share)
    odds = np.exp(foretold(little) - foretold(all_of_it))
    assert 0.1 < odds < 10  # neither alone would do
    assert all(path.prior_MD[0, 0] == pytest.approx(ACTIONS.contact_sd**2) for path in [*all_of_it, *little])
    for mixed, *each in zip(tried(1.0, share), all_of_it, little, strict=True):
        for name in ("base_D", "effect_MD", "within_variance_A", "average_variance_A"):
            first, second = (getattr(path, name) for path in each)
            np.testing.assert_allclose(getattr(mixed, name), (first + odds * second) / (1 + odds), rtol=0.02, atol=1e-4)


def test_the_doubt_of_averages_is_that_of_the_posterior_less_what_actions_share(monkeypatch) -> None:
    whole_scales(monkeypatch)
    design, x, action_R, channel, _ = draw(IDENTITY, np.random.default_rng(7), 0.5)
    path = single_outcome_paths(design, x, np.arange(ROWS) % 2, action_R, ACTIONS, [channel], [0.0])[0][0][0]
    z_RK = joint(design, x, action_R)
    noise = (channel.y_R - z_RK @ vector(path)[0]).var()
    posterior_KK = np.linalg.inv(z_RK.T @ z_RK / noise + np.diag(1 / vector(path)[1]))
    average_M = design.width * np.arange(1, 4)
    apart_AM = TABLE_AM - TABLE_AM.mean(0)
    wanted_A = np.einsum("am,mn,an->a", apart_AM, posterior_KK[np.ix_(average_M, average_M)], apart_AM)
    np.testing.assert_allclose(path.average_variance_A, wanted_A, rtol=0.05)


@pytest.mark.parametrize("link", [IDENTITY, LOGIT, LOG])
def test_effects_are_found_and_what_is_not_there_stays_small(link) -> None:
    design, x, action_R, channel, effect_MD = draw(link, np.random.default_rng(2), 0.5, rows=40_000)
    path = single_outcome_paths(design, x, np.arange(40_000) % 3, action_R, ACTIONS, [channel], [0.0])[0][0][0]
    arm_AD = TABLE_AM @ path.effect_MD
    np.testing.assert_allclose(arm_AD, TABLE_AM @ effect_MD, atol=0.12)
    nothing_AD = np.where(TABLE_AM @ effect_MD == 0, arm_AD, 0.0)
    assert np.sqrt((nothing_AD**2).mean()) < 0.03


def test_without_effects_nothing_is_claimed() -> None:
    design, x, action_R, channel, _ = draw(LOGIT, np.random.default_rng(3), 0.0)
    path = single_outcome_paths(design, x, np.arange(ROWS) % 3, action_R, ACTIONS, [channel], [0.0])[0][0][0]
    effect_RA = design.matrix(x) @ (TABLE_AM @ path.effect_MD).T
    assert (effect_RA - effect_RA.mean(0)).std() < 0.08


@pytest.mark.parametrize("seed", range(2))
def test_a_small_action_with_far_more_of_a_rare_outcome_does_not_run_away(seed: int, columns: int = 10) -> None:
    # One row in twenty has the action. The curvature of the start holds nearby only: undamped steps ended at effects of 1e6 and more.
    generator = np.random.default_rng(seed)
    x = with_categories(generator, NUMERIC, columns, 8)
    design = fit_design(x, np.repeat([TREND, LEVEL], [NUMERIC, columns * 8]))
    action_R = np.where(generator.random(ROWS) < 0.05, 1, generator.choice([0, 2, CHOICES], ROWS))
    effect_R = np.where(action_R == 1, 4 + 2 * x.numeric_UI[:, 0], 0.0)
    happens_R = generator.random(ROWS) < 1 / (1 + np.exp(6 - effect_R))
    channel = Channel(LOGIT, happens_R.astype(np.float32), np.ones(ROWS, bool))
    start = float(np.log(happens_R.mean() / (1 - happens_R.mean())))
    for paths in single_outcome_paths(design, x, np.arange(ROWS) % 3, action_R, ACTIONS, [channel], [start])[0]:
        found_R = design.matrix(x) @ (TABLE_AM @ paths[0].effect_MD)[1]
        assert found_R.mean() == pytest.approx(4, abs=1)
        assert np.polyfit(x.numeric_UI[:, 0], found_R, 1)[0] == pytest.approx(2, abs=0.5)
        assert max(paths[0].prior_D[1:].max(), paths[0].prior_MD.max()) <= linear.LARGEST


def test_what_contacts_do_to_sizes_is_believed_less_than_what_they_do_to_chances(monkeypatch) -> None:
    """One action, no features: the posterior mean of its effect is the difference of two means, shrunk by its variance and the prior's."""
    whole_scales(monkeypatch)
    generator, rows = np.random.default_rng(8), 200
    x = Features(np.zeros((rows, 1), np.float32), np.zeros((rows, 0), np.int64))
    action_R = np.arange(rows) % 2
    y_R = (0.4 * (action_R == 0) + generator.normal(size=rows)).astype(np.float32)
    actions = Actions(np.ones((1, 1), np.float32), np.array([0]), contact_sd=0.5, size_sd=0.1, tails=2.0)
    apart = y_R[action_R == 0].mean() - y_R[action_R == 1].mean()
    fold_R = (np.arange(rows) >= rows - 2).astype(int)
    for link, sd in ((IDENTITY, 0.5), (SIZE, 0.1)):
        channel = Channel(link, y_R, np.ones(rows, bool))
        path = single_outcome_paths(fit_design(x, np.array([TREND])), x, fold_R, action_R, actions, [channel], [0.0])[
            0
        ][1][0]
        noise = 4 * (y_R - 0.4 * (action_R == 0)).var() / rows
        assert path.effect_MD[0, 0] == pytest.approx(apart * sd**2 / (sd**2 + noise), rel=0.1)


def test_rows_that_tell_nothing_are_left_out() -> None:
    generator = np.random.default_rng(4)
    design, x, action_R, channel, _ = draw(IDENTITY, generator, 0.5)
    used_R = generator.random(ROWS) < 0.5
    spoiled = Channel(IDENTITY, np.where(used_R, channel.y_R, 100.0).astype(np.float32), used_R)
    path = single_outcome_paths(design, x, np.arange(ROWS) % 2, action_R, ACTIONS, [spoiled], [0.0])[0][0][0]
    assert np.abs(design.matrix(x) @ path.base_D).max() < 5


def test_weights_on_features_as_they_are_give_the_same_numbers() -> None:
    generator = np.random.default_rng(5)
    x = features(generator)
    design = fit_design(x, KIND_W)
    coefficient_KD = generator.normal(size=(2, design.width))
    weight_KW, constant_K = design.weights(coefficient_KD)
    np.testing.assert_allclose(
        x.wide(LEVELS) @ weight_KW.T + constant_K, design.matrix(x) @ coefficient_KD.T, atol=1e-4
    )


def test_many_levels_that_tell_nothing_do_not_shrink_away_the_trends() -> None:
    # With one scale for all the correlations are 0.4 to 0.7.
    assert np.mean([_correlation_with_the_trends(seed) for seed in range(3)]) > 0.65


def _correlation_with_the_trends(seed: int, numbers: int = 4, columns: int = 12, levels: int = 8) -> float:
    """Of the true effect, weak trends alone, with the one found next to categories without any meaning."""
    generator = np.random.default_rng(seed)
    x = with_categories(generator, numbers, columns, levels)
    action_R = generator.integers(0, CHOICES + 1, ROWS)
    true_R = 0.05 * x.numeric_UI.sum(1)
    lean_R = np.append(TABLE_AM[:, 1], 0.0)[action_R] * true_R
    channel = Channel(IDENTITY, (lean_R + generator.normal(size=ROWS)).astype(np.float32), np.ones(ROWS, bool))
    design = fit_design(x, np.repeat([TREND, LEVEL], [numbers, columns * levels]))
    path = single_outcome_paths(design, x, np.arange(ROWS) % 3, action_R, ACTIONS, [channel], [0.0])[0][0][0]
    return np.corrcoef(true_R, design.matrix(x) @ (TABLE_AM @ path.effect_MD)[0])[0, 1]
