"""What MLflow holds of a week, and that nothing is lost when it cannot be reached."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.formats.drift import DriftOfColumn, DriftOfTable, DriftRecord
from scripts.formats.gates import GateFinding, GatesRecord
from scripts.runs import digests, stage
from scripts.runs.mlflow_entries import log_datasets, log_metrics
from scripts.runs.mlflow_store import connect, where
from scripts.runs.tracking import record_week
from tests.allocator.reporting import constraint
from tests.scripts.regrets import regret_of

CERTIFICATE = {
    "status": "optimal",
    "users": 10,
    "contacts": 7,
    "value": 12.5,
    "bound": 12.6,
    "gap": 0.008,
    "greedy": {"value": 11.0, "feasible": False},
    "metrics": {"subs": {"total": 0.3, "unit": "subscribers"}},
    "constraints": [
        constraint(id="push capacity", achieved=4.0, slack=0.0, price=0.2),
        constraint(id="roi", achieved=2.7, slack=None, price=0.0),
    ],
    "seconds": {"read": 0.4},
    "passes": {"all_users": 3, "samples": 8},
}
EVALUATION = {
    "rows": {"train": 100, "validation": 10, "test": 20},
    "sample": {"judged": 20, "baselines": 100},
    "slates": None,
    "unidentified": [],
    "outcomes": ["subs"],
    "objective": {},
    "policies": [
        {
            "name": "valuenet", "outcome": "subs", "estimator": "DR", "value": 0.1, "stderr": 0.02, "low": 0.06, "high": 0.14,
            "effective_sample_size": 9.0, "difference_to_best_fixed": None, "difference_to_valuenet": None,
        }
    ],
    "qini": [
        {
            "model": "valuenet", "outcome": "subs", "action": "push_1/family/trial", "qini": 0.3, "stderr": 0.1, "auuc": 0.4,
            "auuc_stderr": 0.1, "average": 0.2, "rows": 20,
        }
    ],
    "calibration": [
        {
            "outcome": "subs", "action": "push_1/duo", "slope": 0.4, "stderr": 0.1, "average_effect": 0.1,
            "average_effect_stderr": 0.1, "held_out": {"value": None, "stderr": None}, "deciles": [],
        }
    ],
    "reliability": [{"outcome": "subs", "action": "push_1/duo", "reliability": 0.6, "average": False}],
    "surrogates": [],
    "training": {
        "epochs": 2,
        "best_epoch": 2,
        "curve": [{"epoch": 1, "train": 0.5, "validation": 0.6}, {"epoch": 2, "train": 0.4, "validation": 0.55}],
        "members": [],
        "seconds": 3.0,
    },
}  # fmt: skip
MOVED = DriftOfColumn(column="plays", shift=0.7, missing=0.1)
DRIFTED = DriftRecord(
    run="2026-W48",
    week="2026-W47",
    tables=(DriftOfTable(table="scored users", rows=10, rows_before=8, columns=(MOVED,)),),
    left_out={"events recorded late": 3},
)
JUDGED = GatesRecord(
    run="2026-W48",
    week="2026-W47",
    findings=(
        GateFinding(gate="files", unit="files", status="passed"),
        GateFinding(gate="volume", about="logs", unit="rows", status="overridden", sentence="doubled", found=20.0),
    ),
)
REGRET = regret_of({"oracle": 1.0, "best fixed action": 1 / 3})
SECONDS = {"train": (3.0, False), "score": (1.0, True), "allocate": (2.0, False)}
SECRET_USER = "listener-4711"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with the files that the stages write."""
    run = tmp_path_factory.mktemp("runs") / "2026-W48"
    rows = pa.table({"user_id": [SECRET_USER, "b"], "value": [1.0, 2.0]})
    for name, made_by in (("logs", "prepare"), ("model", "train"), ("scores", "score"), ("allocation", "allocate")):
        with stage.write(run / name, stage=made_by) as out:
            if name != "model":
                pq.write_table(rows, out / "part-0.parquet")
            if name == "model":
                (out / "weights.safetensors").write_bytes(b"weights")
                (out / "model.json").write_text("{}")
                (out / "evaluation.json").write_text(json.dumps(EVALUATION))
            if name == "allocation":
                (out / "certificate.json").write_text(json.dumps(CERTIFICATE))
                (out / "audit.json").write_text(json.dumps({"checks": [{"name": "caps", "status": "PASS"}]}))
            if name == "scores":
                (out / "catalogue.json").write_text("{}")
    (run / "regret").mkdir()
    (run / "regret" / "regret.json").write_text(REGRET.text())
    (run / "drift").mkdir()
    (run / "drift" / "drift.json").write_text(DRIFTED.text())
    (run / "gates.json").write_text(JUDGED.text())
    (run / "report").mkdir()
    (run / "report" / "report.html").write_text("<html></html>")
    (run.parent / "policy.yaml").write_text("version: 1\n")
    return run


@pytest.fixture(scope="module")
def settings(composed: Callable[..., DictConfig], folder: Path) -> WeeklySettings:
    return validated(
        WeeklySettings,
        composed(
            f"paths.runs='{folder.parent}'",
            f"weekly.policy='{folder.parent}/policy.yaml'",
            "tracking.experiment=a test",
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def no_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def recorded(folder: Path, settings: WeeklySettings) -> str:
    recorded = record_week("2026-W48", folder, settings, SECONDS, finished=True)
    assert recorded is not None
    return recorded


@pytest.fixture
def client(settings: WeeklySettings) -> object:
    return connect(settings)[0]


def children(client: object, parent: str) -> Mapping[str, object]:
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.data.tags["offermix.kind"]: run for run in found}


def test_a_week_is_a_parent_with_a_child_per_stage(recorded: str, client: object) -> None:
    parent = client.get_run(recorded)
    assert parent.info.status == "FINISHED"
    assert children(client, recorded).keys() == {"train", "score", "allocate", "drift"}
    assert children(client, recorded)["score"].data.tags["offermix.resumed"] == "true"


def test_metrics_are_those_of_the_certificate_and_the_evaluation(recorded: str, client: object) -> None:
    allocate, train = (children(client, recorded)[name].data.metrics for name in ("allocate", "train"))
    assert allocate["value"] == 12.5
    assert allocate["constraint/push capacity/price"] == 0.2
    assert allocate["constraint/roi/achieved"] == 2.7
    assert "constraint/roi/slack" not in allocate  # nothing in scope
    assert allocate["audit/clean"] == 1.0
    assert train["policy/valuenet/subs/DR/value"] == 0.1
    week = client.get_run(recorded).data.metrics
    assert week["seconds/train"] == 3.0
    assert (week["truth/oracle/value"], week["truth/best fixed action/regret"]) == pytest.approx((9.0, 6.0))


def test_what_there_is_per_action_and_per_rule_is_a_table(recorded: str, client: object) -> None:
    train, allocate = (children(client, recorded)[name].info.run_id for name in ("train", "allocate"))
    of_train = {name: mlflow_table(client, train, name) for name in ("qini", "calibration", "reliability", "policies")}
    assert [(row["action"], row["qini"]) for row in of_train["qini"]] == [("push_1/family/trial", 0.3)]
    assert [(row["slope"], row["stderr"]) for row in of_train["calibration"]] == [(0.4, 0.1)]
    assert of_train["reliability"][0]["reliability"] == 0.6
    rules = {row["id"]: row for row in mlflow_table(client, allocate, "constraints")}
    assert (rules["push capacity"]["price"], rules["roi"]["slack"]) == (0.2, None)


def mlflow_table(client: object, run: str, name: str) -> list[dict]:
    content = json.loads(Path(client.download_artifacts(run, f"tables/{name}.json")).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_drift_is_a_stage_with_its_sizes_and_gates_are_a_table_and_tags(
    recorded: str, client: object, tmp_path: Path
) -> None:
    drift = children(client, recorded)["drift"].data.metrics
    assert drift["drift/scored_users/rows_ratio"] == 1.25
    assert drift["drift/scored_users/largest_shift"] == 0.7
    assert drift["drift/left_out"] == 3.0
    week = client.get_run(recorded).data
    assert (week.metrics["gates/refused"], week.metrics["gates/overridden"]) == (0.0, 1.0)
    assert week.tags["offermix.overridden"] == "volume" and "offermix.refused_by" not in week.tags
    rows = json.loads(Path(client.download_artifacts(recorded, "tables/gates.json", str(tmp_path))).read_text())
    told = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    assert [(row["gate"], row["status"], row["found"]) for row in told] == [
        ("files", "passed", None),
        ("volume", "overridden", 20.0),
    ]


def test_a_run_has_few_metrics_and_all_of_many_stand_in_a_table(settings: WeeklySettings) -> None:
    client, experiment = connect(settings)
    run = client.create_run(experiment).info.run_id
    log_metrics(client, run, {f"metric/{number}": float(number) for number in range(200)})
    kept = client.get_run(run).data.metrics
    assert len(kept) == 149 and kept["metric/148"] == 148.0
    assert len(mlflow_table(client, run, "metrics")) == 200


def test_a_week_is_looked_for_by_its_tags_and_takes_its_time(recorded: str, client: object, folder: Path) -> None:
    run = client.get_run(recorded)
    tags = {name.removeprefix("offermix."): value for name, value in run.data.tags.items()}
    assert (tags["week"], tags["policy"], tags["published"]) == ("2026-W48", "policy", "false")
    assert tags["data_digest"] == digests.told_digest(folder / "logs")[:16]
    assert run.info.end_time - run.info.start_time == 6_000
    train, score, allocate = (children(client, recorded)[name].info for name in ("train", "score", "allocate"))
    assert [train.start_time, score.start_time, allocate.start_time] == [
        run.info.start_time + offset for offset in (0, 3_000, 4_000)
    ]
    assert allocate.end_time == run.info.end_time
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_loss_is_a_curve(recorded: str, client: object) -> None:
    points = client.get_metric_history(children(client, recorded)["train"].info.run_id, "loss/validation")
    assert [(point.step, point.value) for point in points] == [(1, 0.6), (2, 0.55)]


def test_parameters_are_short_and_the_whole_configuration_is_an_artifact(
    recorded: str, client: object, folder: Path
) -> None:
    """Without places on this machine."""
    parent = client.get_run(recorded)
    assert parent.data.params["data.users"] == "1000"
    assert all(len(value) <= 250 for value in parent.data.params.values())
    paths = {item.path for item in client.list_artifacts(recorded)}
    assert {"config.yaml", "policy", "report"} <= paths
    assert parent.data.params["weekly.policy"] == "policy.yaml"
    told = Path(client.download_artifacts(recorded, "config.yaml")).read_text() + str(parent.data.params)
    assert str(folder.parent) not in told


def test_datasets_are_counted_and_no_listener_is_named(recorded: str, client: object, folder: Path) -> None:
    (used,) = children(client, recorded)["train"].inputs.dataset_inputs
    assert json.loads(used.dataset.profile) == {"num_rows": 2}
    assert (used.dataset.source_type, json.loads(used.dataset.source)["uri"]) == ("local", str(folder / "logs"))
    assert used.dataset.digest == digests.told_digest(folder / "logs")[:8] == digests.digest(folder / "logs")[:8]
    columns = json.loads(used.dataset.schema)["mlflow_colspec"]
    assert [(column["name"], column["type"]) for column in columns] == [("user_id", "string"), ("value", "double")]
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]
    for file in (path for path in folder.parent.rglob("ml*/**/*") if path.is_file()):
        assert SECRET_USER.encode() not in file.read_bytes()
    assert SECRET_USER.encode() not in (folder.parent / "mlflow.db").read_bytes()


def test_columns_of_any_type_have_one_that_mlflow_knows(tmp_path: Path, settings: WeeklySettings) -> None:
    """Lists of scores, flags, days and ids, and a folder without a row."""
    (tmp_path / "scores").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "logs" / "immature").mkdir(parents=True)
    for part, rows in (("logs", 2), ("logs/immature", 3)):
        pq.write_table(pa.table({"id": pa.array(range(rows), pa.int64())}), tmp_path / part / "part-0.parquet")
    table = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "eligible": pa.array([[True]], pa.list_(pa.bool_(), 1)),
            "mean_subs": pa.array([[0.5]], pa.list_(pa.float32())),
            "as_of": pa.array([0], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "scores" / "part-0.parquet")
    client, experiment = connect(settings)
    run_id = client.create_run(experiment).info.run_id
    log_datasets(client, run_id, [(tmp_path / name, name) for name in ("scores", "empty", "nowhere", "logs")])
    inputs = {each.dataset.name: each.dataset for each in client.get_run(run_id).inputs.dataset_inputs}
    assert inputs.keys() == {"scores", "empty", "logs"}
    assert json.loads(inputs["logs"].profile) == {"num_rows": 5}, "young decisions teach as well"
    told = {each["name"]: each["type"] for each in json.loads(inputs["scores"].schema)["mlflow_colspec"]}
    assert told == {"id": "long", "eligible": "array", "mean_subs": "array", "as_of": "datetime"}
    assert json.loads(inputs["empty"].profile) == {"num_rows": 0}


def test_a_model_that_cannot_be_registered_costs_a_warning_and_not_the_record(
    folder: Path, settings: WeeklySettings, caplog: pytest.LogCaptureFixture
) -> None:
    other = settings.model_copy(update={"seed": 1})
    with caplog.at_level(logging.WARNING):
        assert record_week("2026-W48", folder, other, SECONDS, finished=True) is not None
    assert "the model was not registered (InputError" in caplog.text


def test_the_same_week_is_recorded_once(recorded: str, client: object, folder: Path, settings: WeeklySettings) -> None:
    assert record_week("2026-W48", folder, settings, SECONDS, finished=True) == recorded


def test_a_week_that_failed_is_recorded_as_far_as_it_came(
    recorded: str, client: object, folder: Path, settings: WeeklySettings
) -> None:
    failed = record_week("2026-W48", folder, settings, {"train": (3.0, False)}, finished=False)
    assert client.get_run(failed).info.status == "FAILED"
    assert children(client, failed).keys() == {"train"}


def test_a_server_that_is_down_costs_a_warning_and_not_the_run(
    folder: Path, settings: WeeklySettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING):
        assert record_week("2026-W48", folder, settings, SECONDS, finished=True) is None
    assert "could not be recorded" in caplog.text
    assert "The run itself is complete" in caplog.text
    assert "hush" not in caplog.text
    assert "hush" not in where()
