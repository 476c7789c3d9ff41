"""What logs can tell at all: an effect shows between listeners to whom chance gave the action and others to whom it gave nothing.

Axes: R rows, A actions, B = A + 1 arms, the last one `none`.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ranker.catalogue import NEVER_AT_RANDOM, NEVER_SHOWN, Unidentified
from ranker.files import InputError
from ranker.model.examples import Examples

CERTAIN = 1 - 1e-9
REMEDY = (
    "keep a holdout (experiment.holdout in the policy) and log it as '{none}', with the chance of being shown nothing"
)


def unidentified(learn: Examples, actions: Sequence[Mapping[str, object]], none: str) -> tuple[Unidentified, ...]:
    """Actions whose effects these rows do not tell; InputError where they tell none, since nobody was shown nothing by chance."""
    shown_B, random_B = _counts(learn)
    if problems := list(_problems(shown_B, random_B, none)):
        raise InputError([f"logs: {problem}" for problem in problems])
    return tuple(
        Unidentified(str(action["id"]), NEVER_AT_RANDOM if shown_B[a] else NEVER_SHOWN)
        for a, action in enumerate(actions)
        if not random_B[a]
    )


def _counts(learn: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Decisions that showed an arm, and of those that chance could have made otherwise the ones that stand for it."""
    arms, size_R, others_A = learn.actions + 1, 1, np.zeros(learn.actions + 1)
    if learn.others_RA is not None:  # a propensity was divided by the contacts of its slate
        size_R = 1 + np.diff(learn.others_RA.indptr)
        others_A = np.append(learn.others_RA.sum(0), 0.0)
    random_R = learn.propensity_R * size_R < CERTAIN
    shown_B = np.bincount(learn.action_R, minlength=arms) + others_A
    return shown_B, np.bincount(learn.action_R, random_R, minlength=arms)


def _problems(shown_B: np.ndarray, random_B: np.ndarray, none: str) -> Iterator[str]:
    remedy = REMEDY.format(none=none)
    if not shown_B[-1]:
        yield (
            f"column action: none of {int(shown_B.sum()):,} rows to learn from shows '{none}', so what a contact adds to showing nothing "
            f"is not known; {remedy}"
        )
    elif not random_B[-1]:
        yield (
            f"column propensity: is 1 in all {int(shown_B[-1]):,} rows that show '{none}', so nobody was shown nothing by chance and what "
            f"a contact adds is not known; {remedy}"
        )
    if shown_B[:-1].any() and not random_B[:-1].any():
        yield (
            f"column propensity: is 1 in all {int(shown_B[:-1].sum()):,} rows that show an action, so no contact was left to chance and "
            "no effect is known; let some listeners get one of several actions, or nothing, at random (experiment.exploration in the "
            "policy) and log the chance of what they got"
        )
