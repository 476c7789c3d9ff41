"""How promises of earlier weeks came out, by their readouts: what a plan's promise is to be seen beside, and discounted by on request."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from allocator.workbench.answers import KeptPromise, MeanAndError, TrackRecord
from ranker.evaluate.objective import OBJECTIVE
from scripts.formats.readout import READOUT, Readout

WEEKS = 8
WHAT = "value per listener, against the holdout"


def track_record(runs: Path) -> TrackRecord | None:
    """Of the last WEEKS weeks that a readout tells of; None where there is none. What cannot be read is passed over."""
    found = (Readout.from_file_if_sound(path) for path in sorted(runs.glob(f"*/*/{READOUT}")))
    weeks = sorted(
        (each for readout in found if readout is not None for each in _kept(readout)), key=lambda each: each.week
    )
    return record_of(weeks[-WEEKS:]) if weeks else None


def _kept(readout: Readout) -> Sequence[KeptPromise]:
    """At most one: the objective's."""
    return [
        KeptPromise(
            week=readout.day, promised=each.promised, came=each.lift.adjusted.value, came_se=each.lift.adjusted.stderr
        )
        for each in readout.metrics
        if each.name == OBJECTIVE and each.lift is not None
    ]


def record_of(weeks: Sequence[KeptPromise]) -> TrackRecord | None:
    """The part of all promises together that came; None where nothing was promised."""
    promised = sum(each.promised for each in weeks)
    if promised <= 0:
        return None
    came = sum(each.came for each in weeks)
    error = float(np.sqrt(sum(each.came_se**2 for each in weeks)))
    return TrackRecord(what=WHAT, weeks=tuple(weeks), kept=MeanAndError(mean=came / promised, se=error / promised))


def discounted(value: MeanAndError, record: TrackRecord) -> MeanAndError:
    """What a promise comes to if as much of it comes as of earlier ones; the error of a product of two estimates."""
    kept = record.kept
    error = np.hypot(value.se * kept.mean, value.mean * kept.se)
    return MeanAndError(mean=value.mean * kept.mean, se=float(error))
