"""Weeks as gates see them: runs whose files say what a test wants of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.scores import write_frame
from tests.scripts.runs.test_pointer import sign

ACTIONS = ("a", "b", "c")


def write_whole_week(
    runs: Path,
    name: str,
    contacts: Sequence[tuple[int, str]],
    markets: Mapping[int, str],
    certificate: Mapping[str, object] | None = None,
    policy: Mapping[str, object] | None = None,
) -> Path:
    """A run with these contacts of listeners, and scores of listeners by market. certificate: what it says besides."""
    run = runs / name
    (run / "allocation").mkdir(parents=True)
    (run / "scores").mkdir()
    table = pa.table({"user_id": [user for user, _ in contacts], "action": [action for _, action in contacts]})
    pq.write_table(table, run / "allocation" / "part-0.parquet")
    said = {"status": "optimal", "gap": 0.0, "contacts": len(contacts), "constraints": [], **(certificate or {})}
    (run / "allocation" / "certificate.json").write_text(json.dumps(said))
    (run / "allocation" / "audit.json").write_text(json.dumps({"checks": [{"name": "slots", "status": "PASS"}]}))
    (run / "allocation" / "prices.json").write_text("{}")
    if policy is not None:
        (run / "allocation" / "policy.json").write_text(json.dumps(policy))
    sign(run / "allocation")
    catalogue = {
        "actions": [{"id": action, "slot": action} for action in ACTIONS],
        "metrics": [{"name": "revenue", "unit": "EUR"}],
        "segments": ["market"],
    }
    listed = [{"user_id": user, "market": markets[user], "mean_revenue": [1.0] * len(ACTIONS)} for user in markets]
    write_frame(run / "scores", catalogue, pd.DataFrame(listed).astype({"market": "string"}))
    return run


def constraint(name: str, achieved: float | None, kind: str = "volume", **said: object) -> dict[str, object]:
    """As a certificate tells it."""
    return {"id": name, "kind": kind, "min": None, "max": None, "achieved": achieved, **said}
