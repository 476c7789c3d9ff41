"""What the other contacts of a slate add beside one of them, taken off the outcomes: what is left is told of that contact alone.

Axes: R rows (decisions), A actions, O outcomes.
"""

from dataclasses import replace

import numpy as np

from ranker.model.ensemble import USERS_AT_ONCE, ValueModel
from ranker.model.examples import Examples
from ranker.model.fit_calibration import calibrated
from ranker.model.splits import Splits

JUDGED = (
    "Of the contacts that were decided together one, drawn at random, is judged, with its marginal propensity over their number; "
    "what the others added, by the model's own effects, is taken off its outcomes."
)


def calibrated_alone(model: ValueModel, examples: Examples, splits: Splits) -> tuple[ValueModel, Examples]:
    """The model with its calibration, and the outcomes of single contacts by what it then knows. Where there are slates, in two rounds:
    what the network says too little of one contact would else be told of the others."""
    told = alone(model, examples)
    found = calibrated(model, told, splits)
    if examples.others_RA is None:
        return found, told
    found = calibrated(model, alone(found, examples), splits)
    return found, alone(found, examples)


def slates_in(examples: Examples) -> dict | None:
    """For evaluation.json: how many decisions had several contacts, and how these are judged; None where none had."""
    if examples.others_RA is None:
        return None
    return {"decisions": int((np.diff(examples.others_RA.indptr) > 0).sum()), "judged": JUDGED}


def alone(model: ValueModel, examples: Examples) -> Examples:
    """The same decisions as if only the contact that stands for each had been shown; `whole_RO` keeps the outcomes as they were.

    By what the model knows now: called again after a calibration, by its calibrated effects.
    """
    if examples.others_RA is None:
        return examples
    whole_RO = examples.whole_RO
    added_RO = np.zeros(whole_RO.shape)
    several = np.flatnonzero(np.diff(examples.others_RA.indptr) > 0)
    for start in range(0, len(several), USERS_AT_ONCE):
        rows = several[start : start + USERS_AT_ONCE]
        others_RA = examples.others_RA[rows].toarray().astype(np.float32)
        added_RO[rows] = model.beside(examples.features.take(rows), examples.action_R[rows], others_RA)
    stand_in_RO = None if examples.whole_stand_in_RO is None else examples.whole_stand_in_RO - added_RO
    return replace(examples, outcome_RO=whole_RO - added_RO, stand_in_RO=stand_in_RO)
