"""Makes a registered model the champion, by hand: `python -m scripts.promote version=N person=NAME reason=TEXT`."""

from scripts.cli import entry
from scripts.cli.settings import RegistrySettings
from scripts.runs.champion import promote


def run(settings: RegistrySettings) -> str:
    """Person and reason stay as tags of the version; raises InputError where there is no such version."""
    sentence = promote(settings)
    print(sentence)
    return sentence


if __name__ == "__main__":
    entry.main("promote", RegistrySettings, run)
