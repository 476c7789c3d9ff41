"""What a policy promises of the held-out halves of real trials, and what came: how often the two agree within both errors.

Slow: about a minute per trial and split. Splits of one trial share its customers, so what they say goes together.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from ranker.files import read_json_object
from ranker.log_schema import LogSchema
from ranker.logs import write_logs
from ranker.normal import Z90
from ranker.trials import charitable, hillstrom, promotion
from ranker.trials.adapters import Trial
from scripts.formats.rehearsal import REHEARSAL
from tests.architecture.measure import ROOT

DATA = ROOT.parent / "shared" / "data"
SPLITS = range(1, 11)
HELD_OUT = 0.5
AT_MOST = """
version: 1
objective: [{{metric: {metric}, weight: {weight}}}]
constraints: [{{id: capacity, kind: volume, max: {share}}}]
"""


@dataclass(frozen=True)
class RealTrial:
    """A public trial: its file in ../shared/data, its adapter and what that names, and a policy with a capacity."""

    file: str
    read: Callable[[Path, float, int], Trial]
    schema: LogSchema
    actions: Sequence[Mapping[str, object]]
    policy: str


HILLSTROM = (ROOT / "conf" / "policy" / "hillstrom.yaml").read_text()
PURCHASES = AT_MOST.format(metric="purchase", weight=10, share="30%")
GIFTS = AT_MOST.format(metric="amount", weight=1, share="40%")
TRIALS = {
    "hillstrom": RealTrial(
        "hillstrom_half.csv.gz", hillstrom.read_trial, hillstrom.SCHEMA, hillstrom.ACTIONS, HILLSTROM
    ),
    "promotion": RealTrial(
        "promotion_training.csv.gz", promotion.read_promotion, promotion.SCHEMA, promotion.ACTIONS, PURCHASES
    ),
    "charitable": RealTrial(
        "charitable_half.csv.gz", charitable.read_charitable, charitable.SCHEMA, charitable.ACTIONS, GIFTS
    ),
}


def rehearsed(trial: RealTrial, folder: Path, split: int) -> Iterator[dict]:
    """The amounts that the policy promises of one half of the customers, by a model of the other half."""
    logs, policy, model, out = (folder / name for name in ("logs", "policy.yaml", "model", "rehearsal"))
    logs.mkdir(parents=True)
    made = trial.read(DATA / trial.file, HELD_OUT, split)
    write_logs(logs, trial.schema, trial.actions, [pd.concat([made.train, made.test], ignore_index=True)])
    policy.write_text(trial.policy)
    common = (f"logs={logs}", f"model={model}", f"seed={split}")
    for command in (
        ("scripts.train", *common, f"fit.test_share={HELD_OUT}", "tracking.enabled=false"),
        ("scripts.rehearse", *common, f"policy={policy}", f"out={out}"),
    ):
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    found = read_json_object(out / REHEARSAL)
    assert found.get("unavailable") is None
    for each in found["amounts"]:
        promised, came = (
            (each["promised"], each["promised_stderr"]),
            (each["realised"]["value"], each["realised"]["stderr"]),
        )
        yield {
            "of": each["name"],
            "promised": promised[0],
            "its error": promised[1],
            "came": came[0],
            "error": came[1],
            "apart": (came[0] - promised[0]) / (promised[1] ** 2 + came[1] ** 2) ** 0.5,
        }


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", TRIALS)
def test_what_is_promised_of_the_other_half_comes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Within 90 % of both errors; value, metrics and sums of every split."""
    trial = TRIALS[name]
    if not (DATA / trial.file).exists():
        pytest.skip(f"../shared/data/{trial.file} is not beside the checkout")
    rows = pd.DataFrame([row for split in SPLITS for row in rehearsed(trial, tmp_path / str(split), split)])
    rows["kept"] = rows["apart"].abs() <= Z90
    with capsys.disabled():
        told = rows.groupby("of", sort=False).agg(
            {"promised": "mean", "its error": "mean", "came": "mean", "error": "mean", "apart": "mean", "kept": "sum"}
        )
        print(f"\n{name}, {len(SPLITS)} splits\n{told.round(3).to_string()}")
    assert rows["kept"].mean() >= 0.6, "halves of one trial go together: ten of them are little more than two"
