"""Begins a configuration of your own: `python -m scripts.init DIR`."""

import sys

from scripts.cli import at_once
from scripts.cli.new_configuration import begin
from scripts.cli.shipped import called
from scripts.cli.statuses import DONE


def run(given: at_once.Given) -> int:
    """Writes the folder and says what to do with it."""
    folder = given.path("out")
    for file in begin(folder):
        print(f"{file} written")
    print(f"Edit them, then: {called('weekly')} --config-dir {folder}")
    return DONE


if __name__ == "__main__":
    sys.argv[1:] = [word if "=" in word or word.startswith("-") else f"out={word}" for word in sys.argv[1:]]
    at_once.main("init", run, ["out"])
