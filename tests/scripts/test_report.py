"""The report as a command: it finds the week before and the policy's file by itself, and is made again where either is another."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from allocator.policy.grammar import Policy
from ranker.files import InputError
from scripts import report
from scripts.runs import stage
from tests.allocator.reporting import write_run

POLICY = """# Written by Ada.
version: 1
objective: [{metric: revenue, weight: 1.0}]
constraints: [{id: push, kind: volume, where: {surface: push}, max: 20%}]
"""


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """A run with a week before it, and a policy of which it changed one bound."""
    write_run(tmp_path / "2026-W47", 50)
    made, folder = write_run(tmp_path / "2026-W48", seed=2), tmp_path / "2026-W48"
    (tmp_path / "winter.yaml").write_text(POLICY)
    rule = {"id": "push", "kind": "volume", "where": {"surface": "push"}, "max": "15%"}
    used = {"objective": [{"metric": "revenue", "weight": 1.0}], "constraints": [rule]}
    (made.sources.allocation / "policy.json").write_text(json.dumps(Policy.model_validate(used).to_json()))
    inputs = {"scores": "ab12", "../winter.yaml": "cd34"}
    config = {"set": {"push": {"max": "15%"}}}
    held = {"stage": "allocate", "inputs": inputs, "config": config}
    (made.sources.allocation / "manifest.json").write_text(json.dumps(held))
    began_with(folder, "2026-W47/allocation")
    return folder


def began_with(folder: Path, previous: str | None) -> None:
    (folder / "run.json").write_text(json.dumps({"run": folder.name, "identity": "0", "previous": previous}))


def write(folder: Path, policy: Path | None = None) -> str:
    settings = SimpleNamespace(paths=SimpleNamespace(run=folder, policy=policy))
    return report.run(settings).read_text(encoding="utf-8")


def test_the_page_has_the_week_before_the_edits_and_the_rules(week: Path) -> None:
    page = write(week)
    assert "Last week is the allocation 2026-W47, of the week of 2026-11-23." in page
    assert "<code>push.max</code></td><td><code>20%</code></td><td><code>15%</code>" in page
    assert "Written by Ada." in page and "winter.yaml" in page
    assert str(week.parent) not in page, "where things lie is nobody's business"


def test_it_is_made_again_only_where_something_is_another(week: Path) -> None:
    write(week)
    with stage.resuming(), pytest.raises(stage.StillCurrent):
        write(week)
    (week.parent / "winter.yaml").write_text(POLICY.replace("Ada", "Bo"))
    with stage.resuming():
        assert "Written by Bo." in write(week)
    began_with(week, None)
    with stage.resuming():
        assert "knows of no allocation before it" in write(week)


def test_runs_that_were_moved_keep_their_report_where_the_policy_is_named(week: Path, tmp_path: Path) -> None:
    """A week's own call names it; the manifest's path from the run's folder to the policy leads nowhere then."""
    policy, moved = tmp_path / "winter.yaml", tmp_path / "far" / "away" / "runs"
    write(week, policy)
    shutil.copytree(tmp_path / "2026-W47", moved / "2026-W47")
    shutil.copytree(week, moved / "2026-W48")
    with stage.resuming(), pytest.raises(stage.StillCurrent):
        write(moved / "2026-W48", policy)


def test_a_week_before_that_is_gone_ends_nothing(week: Path) -> None:
    began_with(week, "2026-W12/allocation")
    (week.parent / "winter.yaml").unlink()
    page = write(week)
    assert "The certificate of 2026-W12, the week before, is not there any more." in page
    assert "The policy file winter.yaml cannot be read any more" in page


def test_a_run_without_an_allocation_is_refused(week: Path) -> None:
    (week / "allocation" / "certificate.json").unlink()
    with pytest.raises(InputError, match=r"certificate\.json: there is no such file"):
        write(week)
