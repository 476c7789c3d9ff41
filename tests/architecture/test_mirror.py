"""Tests stand in folders of the same names as what they test."""

from tests.architecture.test_imports import PACKAGES
from tests.conftest import ROOT

ACROSS = ("architecture", "e2e", "properties")
"""Folders of tests that are about no one package."""


def test_every_folder_of_tests_has_a_folder_that_it_tests() -> None:
    folders = {file.parent.relative_to(ROOT / "tests").as_posix() for file in (ROOT / "tests").rglob("test_*.py")}
    of_packages = {folder for folder in folders if folder.split("/")[0] in PACKAGES}
    assert folders - of_packages == set(ACROSS)
    assert sorted(folder for folder in of_packages if not (ROOT / folder).is_dir()) == []


def test_every_folder_of_code_has_tests_of_its_own() -> None:
    folders = {
        file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py") if file.stem != "__init__"
    }
    without = [folder for folder in folders if not list((ROOT / "tests" / folder.relative_to(ROOT)).glob("test_*.py"))]
    assert sorted(folder.relative_to(ROOT).as_posix() for folder in without) == []
