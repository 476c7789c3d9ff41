"""A week whose listeners have UUIDs: nothing is lost on the way, and the judge finds everyone."""

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDERS = ("tables/users", "tables/exposures", "tables/outcomes", "users")
SMALL = ("debug=tiny", "fit=fast", "model.members=2", "fit.max_epochs=1", "solve.price_ranges=false")


@pytest.mark.slow
def test_a_week_of_uuids_keeps_its_history_and_is_published(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    market, runs = tmp_path / "market", tmp_path / "runs"
    made = call("-m", "scripts.make_market", "users=500", "seed=0", "debug=tiny", f"out={market}")
    assert made.returncode == 0, made.stderr
    for folder in FOLDERS:
        for file in (market / folder).glob("*.parquet"):
            table = pq.read_table(file)
            ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(x))) for x in table["user_id"].to_pylist()]
            place = table.schema.get_field_index("user_id")
            pq.write_table(table.set_column(place, "user_id", pa.array(ids)), file)
    called = call("-m", "scripts.weekly", f"tables={market}", f"runs={runs}", *SMALL, "tracking.enabled=false")
    assert called.returncode == 0, called.stderr
    run = runs / json.loads((runs / "published.json").read_text())["run"]
    exposures = pq.read_table(market / "tables" / "exposures").to_pandas()
    shown = exposures["action"].notna() & (exposures["action"] != "none")
    assert pq.read_table(run / "scores" / "history").num_rows == shown.sum() > 1000
    assert json.loads((run / "allocation" / "audit.json").read_text())["clean"]
