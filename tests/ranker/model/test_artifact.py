"""A model on disk: bit-equal when read back, refused when changed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ranker.catalogue import Interference, Kept, Pair, Unidentified
from ranker.model.artifact import load_model, save_model
from ranker.model.carryover import Carryover, Growth, Lately
from ranker.scores import InputError


def test_a_round_trip_scores_to_the_bit_and_the_id_is_stable(trained, tmp_path) -> None:
    identity = save_model(tmp_path, trained.model, {"subs": {"value": 0.1}})
    model, read_identity = load_model(tmp_path)
    assert identity == read_identity == save_model(tmp_path, model, {})
    features = trained.fitted.examples.features.take(slice(0, 300))
    for name, effect in trained.model.effects(features).items():
        np.testing.assert_array_equal(effect.mean_UA, model.effects(features)[name].mean_UA)
        np.testing.assert_array_equal(effect.stderr_UA, model.effects(features)[name].stderr_UA)
    assert model.schema == trained.model.schema
    assert model.as_of == trained.model.as_of


def test_what_contacts_take_from_each_other_travels_with_the_model(trained, tmp_path) -> None:
    pair = Pair({"product": "family"}, {"product": "student"}, Kept(0.4, 0.1), "history")
    known = Interference(28, Kept(0.8, 0.02), (pair,))
    told = Carryover("streams", 1.0, 0.8, (Lately(pair.where, "age", 0.5, 0.4),), (Growth("days", 0.2, 0.1),))
    before = save_model(tmp_path, trained.model, {})
    model = replace(trained.model, interference=known, carryover=told)
    assert save_model(tmp_path, model, {}) != before
    read, _ = load_model(tmp_path)
    assert (read.interference, read.carryover) == (known, told)
    features = trained.fitted.examples.features.take(slice(0, 300))
    for name, effect in model.effects(features).items():
        np.testing.assert_array_equal(effect.mean_UA, read.effects(features)[name].mean_UA)


def test_a_description_is_written_as_it_is_read(trained, tmp_path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    found = (Unidentified("home/books", "never shown"),)
    save_model(tmp_path / "first", replace(trained.model, unidentified=found), {"subs": {"value": 1}})
    save_model(tmp_path / "second", load_model(tmp_path / "first")[0], {"subs": {"value": 1}})
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_everything_that_is_damaged_is_told_with_its_place(trained, tmp_path) -> None:
    save_model(tmp_path, trained.model, {})
    content = json.loads((tmp_path / "model.json").read_text())
    content["encoder"]["numeric"][0]["spread"] = "wide"
    content["actions"][1]["slot"] = ""
    del content["weights"]["sha256"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as raised:
        load_model(tmp_path)
    told = [problem.removeprefix(f"{tmp_path / 'model.json'}: is damaged ") for problem in raised.value.problems]
    assert [problem.split(":")[0] for problem in told] == [
        "(encoder.numeric[0].spread",
        "(actions[1].slot",
        "(weights.sha256",
    ]


def test_changed_weights_are_refused(trained, tmp_path) -> None:
    save_model(tmp_path, trained.model, {})
    weights = bytearray((tmp_path / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="sha256 differs"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", ["format", "encoder", "targets", "calibration"])
def test_a_damaged_description_is_told_not_traced(trained, tmp_path, damage) -> None:
    save_model(tmp_path, trained.model, {})
    content = json.loads((tmp_path / "model.json").read_text())
    content[damage] = 2 if damage == "format" else [{"x": 1}]
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", ["an action less", "a value less", "no list", "not finite"])
def test_a_calibration_of_other_actions_is_refused(trained, tmp_path, damage) -> None:
    save_model(tmp_path, trained.model, {})
    content = json.loads((tmp_path / "model.json").read_text())
    first = next(iter(content["calibration"].values()))
    if damage == "an action less":
        del content["actions"][-1]
    elif damage == "a value less":
        del first["average_stderr_A"][-1]
    else:
        first["slope_A" if damage == "no list" else "steepness"] = 1.0 if damage == "no list" else float("nan")
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"model\.json: is damaged .*calibration\.\w+\.\w+ (has shape|is not finite)"):
        load_model(tmp_path)


def test_missing_files_are_named(trained, tmp_path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_model(tmp_path)
    save_model(tmp_path, trained.model, {})
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors: there is no such file"):
        load_model(tmp_path)
