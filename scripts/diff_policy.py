"""What differs between two policies, in sentences: `python -m scripts.diff_policy base=FILE policy=FILE`, or as git's diff driver."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from allocator.policy.differences import differences
from allocator.policy.grammar import Policy
from allocator.policy.reader import examine
from allocator.policy.tree import read_text
from ranker.files import InputError
from scripts.cli import at_once
from scripts.cli.statuses import DONE

WORDS_OF_GIT = 7
"""path old-file old-hex old-mode new-file new-hex new-mode: what git calls a diff driver with, a rename apart."""


def run(given: at_once.Given) -> int:
    """Prints a sentence per difference. `set.` changes the policy, not the base."""
    base, policy = _read(given.path("base"), {}), _read(given.path("policy"), given.set)
    edits = differences(base, policy)
    if "json" in given.yes:
        at_once.show_json([{"path": e.path, "from": e.before, "to": e.after, "sentence": e.sentence} for e in edits])
    else:
        print("\n".join([edit.sentence for edit in edits] or ["The two policies mean the same."]))
    return DONE


def driver(words: Sequence[str]) -> int:
    """As git calls it. Always done: git gives up on a driver that fails, and a version that is no policy is worth a line too."""
    path, old, new = words[0], Path(words[1]), Path(words[4])
    print(f"policy {path}")
    if os.devnull in (str(old), str(new)):
        print("  The file is new." if str(old) == os.devnull else "  The file is gone.")
        return DONE
    try:
        told = [edit.sentence for edit in differences(_read(old, {}), _read(new, {}))] or [
            "Both versions mean the same."
        ]
    except InputError as error:
        told = list(error.problems)
    print("\n".join(f"  {line}" for line in told))
    return DONE


def _read(path: Path, changes: Mapping[str, object]) -> Policy:
    """The policy by its grammar alone: what its words are for is not known here."""
    found = examine(read_text(path), str(path), changes)
    if found.policy is None:
        raise InputError([problem.sentence for problem in found.problems])
    return found.policy


if __name__ == "__main__":
    if len(sys.argv) > WORDS_OF_GIT and "=" not in sys.argv[1]:
        sys.exit(driver(sys.argv[1:]))
    at_once.main("diff_policy", run, ["base", "policy"])
