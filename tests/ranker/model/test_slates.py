"""Two contacts of one listener and day: one trial, from which the effects of both are learned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from ranker.evaluate.aipw import effects
from ranker.evaluate.learners import decisions_of
from ranker.log_schema import LogSchema, Outcome
from ranker.logs import Logs
from ranker.model import linear
from ranker.model.beside import calibrated_alone
from ranker.model.examples import Examples
from ranker.model.fit import fit
from ranker.model.linear import Actions, LikelihoodSums, LinearPath
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.slates import arms_of
from ranker.scores import InputError

ACTIONS = (
    {"id": "home/duo", "slot": "home"},
    {"id": "home/kids", "slot": "home"},
    {"id": "push/books", "slot": "push"},
)
TRUE = np.array([0.5, -0.2, 0.8])
HOME, PUSH = np.array([0.3, 0.3, 0.4]), np.array([0.6, 0.4])  # chances of duo, kids and nothing; of books and nothing


def two_slots(users: int, kind: str, generator: np.random.Generator) -> Logs:
    """A row per contact, or one of nothing; each slot decides by itself, and what came of a listener stands in each of the rows."""
    home_U, push_U = generator.choice(3, users, p=HOME), generator.choice(2, users, p=PUSH)
    age_U = generator.normal(size=users)
    shown_UA = np.column_stack([home_U == 0, home_U == 1, push_U == 0])
    mean_U = 0.3 * age_U + shown_UA @ TRUE
    value_U = mean_U + generator.normal(size=users) if kind == "real" else generator.random(users) < _chance(mean_U)
    user_R, action_R = np.nonzero(np.column_stack([shown_UA, ~shown_UA.any(1)]))
    chance_B = np.array([*HOME[:2], PUSH[0], HOME[2] * PUSH[1]])
    frame = pd.DataFrame(
        {
            "user_id": user_R,
            "as_of": pd.Timestamp("2026-11-16"),
            "action": np.array([*(action["id"] for action in ACTIONS), "none"], dtype=object)[action_R],
            "propensity": chance_B[action_R],
            "age": age_U[user_R].astype("float32"),
            "value": value_U[user_R].astype(float),
            "decision_id": user_R,
        }
    )
    return Logs(LogSchema(("age",), (), (Outcome("value", kind, "points"),), "none"), ACTIONS, frame, None)


def _chance(link: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(2.0 - link))


def learned(logs: Logs) -> tuple[np.ndarray, np.ndarray, Examples]:
    """Average effects, their standard errors, and decisions as single contacts."""
    fitted = fit(logs, ModelSettings(members=2), FitSettings(max_epochs=1, accelerator="cpu"), 0)
    model, examples = calibrated_alone(fitted.model, fitted.examples, fitted.splits)
    found = model.effects(examples.features)["value"]
    return found.mean_UA.mean(0), found.stderr_UA.mean(0), examples


@pytest.mark.parametrize("kind", ["real", "binary"])
def test_effects_of_contacts_shown_together_are_told_apart(kind: str) -> None:
    logs = two_slots(12_000, kind, np.random.default_rng(2))
    age = logs.frame.drop_duplicates("user_id")["age"].to_numpy()[:, None] * 0.3
    true_A = TRUE if kind == "real" else (_chance(age + TRUE) - _chance(age)).mean(0)
    mean_A, stderr_A, examples = learned(logs)
    assert len(examples) == 12_000  # a slate is one decision
    assert (np.abs(mean_A - true_A) < 2 * stderr_A).all()
    naive_A, *_ = learned(replace(logs, frame=logs.frame.drop(columns="decision_id")))
    assert (np.abs(mean_A - true_A) < np.abs(naive_A - true_A)).all()
    assert np.abs(naive_A - true_A).max() > 4 * stderr_A.max()
    # What is judged by: the outcomes of single contacts, by inverse propensities alone.
    realised_RA = effects(decisions_of(examples), examples.outcome_RO[:, 0], np.zeros((len(examples), 4)))
    error_A = realised_RA.std(0) / len(examples) ** 0.5
    np.testing.assert_array_less(np.abs(realised_RA.mean(0) - true_A), 3 * error_A)


def test_rows_of_one_decision_must_agree() -> None:
    logs = two_slots(400, "real", np.random.default_rng(3))
    frame = logs.frame.copy()
    both = np.flatnonzero(frame["user_id"].duplicated(keep=False))
    frame.loc[both[1], "value"] += 1.0
    frame.loc[both[2], "action"] = "none"
    frame.loc[both[4], "action"] = "push/books"
    with pytest.raises(InputError) as raised:
        learned(replace(logs, frame=frame))
    assert raised.value.problems == (
        f"logs: columns decision_id, action: 1 of {len(frame)} rows show nothing beside a contact of the same decision",
        f"logs: columns decision_id, action: 1 of {len(frame)} rows repeat the slot of an earlier row of the same decision",
        f"logs: column value: 1 of {len(frame)} rows tell another outcome than the first row of their decision",
    )


def test_rare_slates_share_an_arm_that_shows_what_they_show_on_average() -> None:
    others_DA = csr_array(np.array([[0, 1, 0, 0]] * 3 + [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]))
    arms = arms_of(np.array([0, 0, 0, 0, 0, 2, 4]), others_DA, 4, most=1)
    assert arms.members_BA[4:].tolist() == [[1, 1, 0, 0], [1, 0, 0.5, 0.5]]
    assert arms.arm_N.tolist() == [4, 4, 4, 5, 5, 2, 6]


def test_variances_by_arms_are_those_by_values(monkeypatch) -> None:
    generator = np.random.default_rng(4)
    table_AM = np.column_stack([np.ones(4), np.eye(4), [1, 1, 0, 0]])
    actions = Actions(table_AM, np.array([0, 1, 1, 1, 1, 2]), 0.1, 0.1, 4.0)
    root_BDD = generator.normal(size=(5, 3, 3))
    sums = LikelihoodSums("identity", np.zeros((5, 3)), np.zeros((5, 3)), root_BDD @ root_BDD.transpose(0, 2, 1))
    nothing = np.zeros(4)
    path = LinearPath(
        np.zeros(3), np.zeros((6, 3)), np.array([9.0, 0.1, 0.2]), generator.random((6, 3)), nothing, nothing
    )

    def variances(many_arms: bool) -> list[np.ndarray]:
        monkeypatch.setattr(linear, "_many_arms", lambda actions: many_arms)
        each = (linear._within_variance, linear._average_variance)
        return [*linear._coefficient_variances(sums, actions, path), *(of(sums, actions, path) for of in each)]

    for by_arms, by_values in zip(variances(False), variances(True), strict=True):
        np.testing.assert_allclose(by_arms, by_values, rtol=1e-9)
