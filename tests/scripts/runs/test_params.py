"""Names and settings as MLflow takes them."""

import pytest

from scripts.runs.params import sanitised, without_secrets


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("push capacity (5%)", "push capacity _5__"),
        ("a[0]=b", "a_0__b"),
        ("x//y/", "x/y"),
        ("é", "é"),
        ("", "_"),
        ("n" * 300, "n" * 250),
    ],
)
def test_names_are_what_mlflow_takes(name: str, kept: str) -> None:
    assert sanitised(name) == kept


def test_secrets_in_a_configuration_are_masked() -> None:
    masked = without_secrets({"api_key": "k", "deep": {"uri": "http://me:hush@host/x"}, "keys": 3})
    assert masked == {"api_key": "***", "deep": {"uri": "http://host/x"}, "keys": 3}
