"""What a dense outcome lends a rare one: where they go together, where they do not, and where that depends on what is offered."""

import numpy as np

from ranker.features import LEVEL, TREND, Features
from ranker.model import cross_outcome_pooling
from ranker.model.cross_outcome_pooling import pool, pooling_values
from ranker.model.linear import Actions, LinearPath, fit_design, single_outcome_paths
from ranker.model.outcome_heads import IDENTITY, LOGIT, Channel

ROWS, CHOICES = 6_000, 3
TABLE_AM = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0]], np.float32)
ACTIONS = Actions(TABLE_AM, np.array([0, 1, 1]), contact_sd=0.5, size_sd=0.1, tails=2.0)
FAMILIES, PRODUCTS, SLOTS = 2, 10, 5


def test_a_rare_outcome_learns_from_a_dense_one_as_far_as_they_go_together() -> None:
    # Of what a rare outcome has to do with the trends, its own rows tell next to nothing.
    gains = [_gain_of_a_rare_outcome(seed, alike=True) for seed in range(4)]
    losses = [_gain_of_a_rare_outcome(seed, alike=False) for seed in range(4)]
    assert np.mean(gains) > 0.4
    assert np.mean(losses) > -0.15


def _gain_of_a_rare_outcome(seed: int, alike: bool) -> float:
    """In the share of its true effects' variance that is explained, by a dense outcome that the same trends move, or that others do."""
    generator = np.random.default_rng(seed)
    x = Features(generator.normal(size=(ROWS, 6)).astype(np.float32), np.zeros((ROWS, 1), int))
    action_R = generator.integers(0, CHOICES + 1, ROWS)
    lean_2K = np.array([[0.3, -0.3, 0.3, 0, 0, 0], [0.3, -0.3, 0.3, 0, 0, 0] if alike else [0, 0, 0, 0.3, -0.3, 0.3]])
    effect_2R = x.numeric_UI @ lean_2K.T
    shown_R = np.append(TABLE_AM[:, 1], 0.0)[action_R]
    true_R = 0.5 * effect_2R[:, 0]
    rare_R = generator.random(ROWS) < 1 / (1 + np.exp(3.5 - shown_R * true_R))
    dense_R = shown_R * effect_2R[:, 1] + generator.normal(size=ROWS)
    everywhere_R = np.ones(ROWS, bool)
    rare = Channel(LOGIT, rare_R.astype(np.float32), everywhere_R)
    dense = Channel(IDENTITY, dense_R.astype(np.float32), everywhere_R)
    design = fit_design(x, np.repeat([TREND, LEVEL], [6, 1]))

    def explained(channels: list[Channel]) -> float:
        start = [-3.5, 0.0][: len(channels)]
        paths = pool(ACTIONS, *single_outcome_paths(design, x, np.arange(ROWS) % 3, action_R, ACTIONS, channels, start))
        found_R = design.matrix(x)[:, 1:] @ (TABLE_AM @ paths[0][0].effect_MD)[0, 1:]
        return 1 - np.mean((found_R - true_R) ** 2) / np.mean(true_R**2)

    return explained([rare, dense]) - explained([rare])


def test_of_two_sources_a_channel_keeps_the_doubt_of_both_together() -> None:
    # Its own path is the truth and noise of variance 0.2, what it is lent the truth and noise of variance 0.6.
    own, other = 0.2, 0.6
    paths = [
        LinearPath(np.zeros(4), np.ones((3, 4)), np.ones(4), np.ones((3, 4)), np.full(3, own), np.ones(3))
        for _ in range(2)
    ]

    def doubt(weight: float) -> np.ndarray:
        return cross_outcome_pooling._pooled(np.full((2, 3, 2), weight), ACTIONS, paths)[0].within_variance_A

    np.testing.assert_allclose(doubt(other / (own + other)), 1 / (1 / own + 1 / other))
    np.testing.assert_allclose(doubt(1.2), own)
    assert (doubt(0.0) > 0.1 * own).all()  # a path that explains nothing is not certain that there is nothing


def catalogue() -> Actions:
    """Ten products in five slots; the first half of them is one family. Columns: contact, families, products, slots."""
    product_A, slot_A = (part.ravel() for part in np.meshgrid(np.arange(PRODUCTS), np.arange(SLOTS)))
    family_A = product_A * FAMILIES // PRODUCTS
    parts = [np.eye(size)[of_A] for size, of_A in ((FAMILIES, family_A), (PRODUCTS, product_A), (SLOTS, slot_A))]
    table_AM = np.hstack([np.ones((len(product_A), 1)), *parts]).astype(np.float32)
    return Actions(
        table_AM, np.repeat(np.arange(4), [1, FAMILIES, PRODUCTS, SLOTS]), contact_sd=0.5, size_sd=0.1, tails=2.0
    )


def test_weights_differ_by_values_of_many_actions_and_what_implies_them() -> None:
    found = pooling_values(catalogue())
    assert found.column_V.tolist() == [0, 1, 2]  # contact, and both families
    np.testing.assert_array_equal(found.implied_MV[:3], [[1, 0, 0], [1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(found.implied_MV[3:8], [[1, 1, 0]] * 5)  # products of the first family
    np.testing.assert_array_equal(found.implied_MV[13:], [[1, 0, 0]] * SLOTS)


def test_what_an_appetite_is_worth_may_depend_on_what_is_offered(monkeypatch) -> None:
    # Whoever a product suits listens more; they subscribe as well where it is of the first family, and only there.
    generator = np.random.default_rng(3)
    rows, actions = 60_000, catalogue()
    x = Features(generator.normal(size=(rows, 6)).astype(np.float32), np.zeros((rows, 1), int))
    action_R = generator.integers(0, len(actions.table_AM) + 1, rows)
    taste_PK = generator.normal(scale=0.3, size=(PRODUCTS, 6))
    product_A, first_A = actions.table_AM[:, 3:13].argmax(1), actions.table_AM[:, 1]
    suits_RA = np.hstack([(x.numeric_UI @ taste_PK.T)[:, product_A], np.zeros((rows, 1))])
    true_RA = suits_RA * np.append(first_A, 0.0)
    logged_R = np.arange(rows), action_R
    everywhere_R = np.ones(rows, bool)
    rare_R = generator.random(rows) < 1 / (1 + np.exp(3.5 - true_RA[logged_R]))
    dense_R = suits_RA[logged_R] + generator.normal(size=rows)
    channels = [
        Channel(LOGIT, rare_R.astype(np.float32), everywhere_R),
        Channel(IDENTITY, dense_R.astype(np.float32), everywhere_R),
    ]
    design = fit_design(x, np.repeat([TREND, LEVEL], [6, 1]))

    def missed(every: int) -> float:
        monkeypatch.setattr(cross_outcome_pooling, "ENOUGH_ACTIONS", every)
        own = single_outcome_paths(design, x, np.arange(rows) % 3, action_R, actions, channels, [-3.5, 0.0])
        path = pool(actions, *own)[0][0]
        found_RA = design.matrix(x)[:, 1:] @ (actions.table_AM @ path.effect_MD)[:, 1:].T
        return float(np.mean((found_RA - true_RA[:, :-1]) ** 2) / np.mean(true_RA[:, :-1] ** 2))

    by_family, alike = missed(25), missed(1_000)
    assert by_family < 0.1
    assert by_family < 0.7 * alike
