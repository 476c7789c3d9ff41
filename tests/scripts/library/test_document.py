"""The examples of the library's document run, in the order in which they stand there."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from scripts import make_market
from scripts.cli.entry import validated
from scripts.cli.settings import MakeMarketSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_examples_run(
    root: Path, composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"paths.out='{tmp_path / 'market'}'"
    make_market.run(validated(MakeMarketSettings, composed("data.users=500", "data.weeks=6", out)))
    monkeypatch.chdir(tmp_path)
    text = (root / "scripts" / "library" / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    known: dict[str, object] = {}
    for block in blocks:
        exec(block, known)  # as a notebook does
    assert sorted(known["small"].contacts["user_id"]) == [1, 2, 3]
    assert (known["small"].contacts["action"] == "home/books").sum() == 1
    assert known["allocation"].constraints.set_index("id").loc["push_capacity", "max"] == 50
    assert any(each.startswith("reading the scores: ") for each in known["shown"])
    assert known["problems"] == ("solve=fsat: conf/solve/ has no fsat.yaml; did you mean 'fast'?",)
    assert (tmp_path / "allocation_of_the_trial" / "certificate.json").is_file()
