"""Gives the champion its place back to the model before it: `python -m scripts.demote person=NAME reason=TEXT`."""

from scripts.cli import entry
from scripts.cli.settings import RegistrySettings
from scripts.runs.champion import demote


def run(settings: RegistrySettings) -> str:
    """Person and reason stay as tags of the version; raises InputError where the version is not the champion."""
    sentence = demote(settings)
    print(sentence)
    return sentence


if __name__ == "__main__":
    entry.main("demote", RegistrySettings, run)
