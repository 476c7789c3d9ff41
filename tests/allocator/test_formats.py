"""The JSON files of an allocation: what is written is read and written again byte for byte, what others wrote as far as it goes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import Allocation, allocate
from allocator.formats import (
    AUDIT,
    CERTIFICATE,
    PRICES,
    AuditRecord,
    Certificate,
    ConstraintRecord,
    PriceBook,
    SaidByAudit,
    SaidByCertificate,
    StrengthRecord,
    read_price_book,
)
from allocator.infeasible.diagnosis import Diagnosis, Infeasible
from ranker.files import Document, InputError
from ranker.scores import Scores, write_frame
from tests.allocator.reporting import constraint

CATALOGUE = {
    "actions": [
        {"id": "push/duo", "slot": "push_1", "surface": "push", "price_eur": 14.99},
        {"id": "home/duo", "slot": "home_1", "surface": "home", "price_eur": 14.99},
    ],
    "metrics": [{"name": "revenue", "unit": "EUR"}, {"name": "opt_outs", "unit": "opt-outs"}],
    "segments": ["market"],
    "as_of": "2026-11-23",
}
POLICY = {
    "version": 1,
    "tiers": [
        {"objective": [{"metric": "revenue", "weight": 1.0}], "give_up": "5%"},
        {"objective": [{"metric": "opt_outs", "weight": -1.0}, {"times": "price_eur", "weight": -0.01}]},
    ],
    "experiment": {"exploration": {"share": 0.1, "salt": "w1"}},
    "pinned": [{"id": "fixed", "users": {"market": "NO"}, "action": "home/duo"}],
    "fallback": {"action": "home/duo"},
    "constraints": [
        {"id": "pushes", "kind": "volume", "where": {"surface": "push"}, "max": 12, "label": "Pushes", "owner": "CRM"},
        {"id": "wish", "kind": "volume", "where": {"surface": "push"}, "min": 25, "strength": {"soft": 0.5}},
        {"id": "seen", "kind": "average", "metric": "opt_outs", "max": 0.1, "strength": "report_only"},
    ],
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": np.arange(60), "market": ["SE", "SE", "NO"] * 20})
    for name in ("revenue", "opt_outs"):
        frame[f"mean_{name}"] = list(generator.gamma(1.0, 1.0, (60, 2)).astype(np.float32))
    return write_frame(tmp_path_factory.mktemp("scores"), CATALOGUE, frame)


@pytest.fixture(scope="module")
def allocation(scores: Scores) -> Allocation:
    return allocate(scores, POLICY)


@pytest.mark.parametrize(("name", "kind"), [(CERTIFICATE, Certificate), (AUDIT, AuditRecord), (PRICES, PriceBook)])
def test_what_is_written_is_read_and_written_again(allocation: Allocation, name: str, kind: type[Document]) -> None:
    file = allocation.folder / name
    assert kind.from_file(file).text() == file.read_text()


def test_the_certificate_is_read_as_it_was_made(allocation: Allocation) -> None:
    read = Certificate.from_file(allocation.folder / CERTIFICATE)
    assert read == allocation.certificate
    assert read.tiers and read.pinned and read.fallback is not None and read.greedy is not None
    assert [each.strength.kind for each in read.constraints[:3]] == ["hard", "soft", "report_only"]
    written = json.loads((allocation.folder / CERTIFICATE).read_text())["constraints"]
    assert [each["strength"] for each in written[:3]] == ["hard", {"soft": 0.5}, "report_only"]


def test_without_constraints_what_is_whole_stays_whole(scores: Scores) -> None:
    """Nothing summed is 0, as it always was, and not 0.0."""
    made = allocate(scores, {"version": 1, "objective": [{"metric": "revenue", "weight": 1.0}]})
    assert '"soft_penalty": 0,' in (made.folder / CERTIFICATE).read_text()
    assert Certificate.from_file(made.folder / CERTIFICATE).text() == (made.folder / CERTIFICATE).read_text()


def test_a_diagnosis_is_read_and_written_again(scores: Scores, tmp_path: Path) -> None:
    rules = [
        {"id": "few", "kind": "volume", "where": {"surface": "push"}, "max": 3},
        {"id": "many", "kind": "volume", "where": {"surface": "push"}, "min": 9},
    ]
    with pytest.raises(Infeasible) as caught:
        allocate(scores, {**POLICY, "constraints": rules})
    record = caught.value.diagnosis
    (tmp_path / "diagnosis.json").write_text(record.text())
    read = Diagnosis.from_file(tmp_path / "diagnosis.json")
    assert (read, read.text()) == (record, record.text())
    assert (read.status, read.conflict, bool(read.repairs)) == ("infeasible", ("few", "many"), True)
    assert next(iter(read.content())) == "status"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{}", "KeyError"),
        ('{"rows": 5}', "TypeError"),
        ('{"rows": [{"side": "max", "multiplier": 1}]}', "KeyError"),
        ('{"rows": [{"constraint": "a", "side": "max", "multiplier": "much"}]}', "ValueError"),
        ('{"rows": [{"constraint": "a", "side": "max", "multiplier": null}]}', "TypeError"),
    ],
)
def test_what_is_no_price_book_is_refused_in_one_sentence(tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / PRICES).write_text(content)
    with pytest.raises(InputError) as caught:
        read_price_book(tmp_path)
    assert caught.value.problems == (f"{tmp_path / PRICES}: is not a price book ({fault})",)


def test_a_price_book_of_another_program_needs_rows_alone(tmp_path: Path) -> None:
    rows = [{"constraint": 7, "side": "max", "multiplier": "0.5"}, {"constraint": "b", "side": "min", "multiplier": -1}]
    (tmp_path / PRICES).write_text(json.dumps({"rows": rows, "more": 1}))
    assert read_price_book(tmp_path).prices == {("7", "max"): 0.5, ("b", "min"): 0.0}


@pytest.mark.parametrize(
    ("words", "kind", "penalty"), [(None, "hard", None), ("report_only", "report_only", None), ({"soft": 2}, "soft", 2)]
)
def test_a_strength_reads_as_a_policy_says_it(words: object, kind: str, penalty: float | None) -> None:
    read = ConstraintRecord.model_validate(constraint(strength=words))
    assert read.strength == StrengthRecord(kind=kind, penalty=penalty)
    assert read.content()["strength"] == ("hard" if words is None else words)


def test_a_guardrail_takes_what_is_of_another_type_as_not_said() -> None:
    said = SaidByCertificate.model_validate({"status": 5, "gap": True, "bound": "12", "fallback": [], "more": 1})
    assert (said.status, said.gap, said.bound, said.fallback, said.fallback_part) == (5, None, None, None, 0.0)
    told = SaidByCertificate.model_validate({"gap": float("nan"), "bound": 200, "fallback": {"value": -2.0}})
    assert (told.status, told.gap, told.fallback_part) == (None, None, 0.01)
    assert SaidByAudit.model_validate({"checks": ["PASS"]}).checks is None
    assert SaidByAudit.model_validate({"checks": [{"status": "FAIL"}]}).checks[0].name is None
