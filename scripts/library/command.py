"""`offermix NAME key=value ...`: every command under one name, as the wheel installs it."""

import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from scripts.cli.keys import AT_ONCE, KEYS, did_you_mean
from scripts.cli.statuses import DONE, WRONG_INPUT, reader_left

HOME = __name__.removesuffix(".library.command")
GROUPS: Mapping[str, Sequence[str]] = {
    "Every week": ("weekly", "publish", "publications", "rollback", "report", "drift", "promote", "demote"),
    "One stage at a time": ("make_market", "prepare", "train", "score", "allocate", "rehearse", "regret"),
    "Policies": ("check_policy", "diff_policy", "policy_schema", "console"),
    "Questions": ("what_if", "explain", "seek", "frontier", "left_out"),
    "Experiments, and after the week": ("plan_experiment", "exposures", "readout", "evaluate"),
    "Setting up, and checking the program": ("init", "faults", "bench", "hillstrom", "judge"),
}
WIDTH = max(len(name) for names in GROUPS.values() for name in names)


def main() -> None:
    """Runs the command that the first word names, with the words after it; exits as it does."""
    words = sys.argv[1:]
    known = {name for names in GROUPS.values() for name in names}
    if words and words[0] in known:
        name, sys.argv[1:] = words[0], words[1:]
        runpy.run_module(f"{HOME}.{name}", run_name="__main__", alter_sys=True)
        return
    status = _of_all(words, known)
    reader_left()
    sys.exit(status)


def _of_all(words: Sequence[str], known: set[str]) -> int:
    if words[:1] in (["--version"], ["-V"]):
        print(version())
    elif words[:1] in (["--help"], ["-h"]):
        print(overview())
    elif not words:
        print(overview(), file=sys.stderr)
        return WRONG_INPUT
    else:
        hint = did_you_mean(words[0], sorted(known)) or "; offermix --help lists them"
        print(f"offermix: 1 problem in the input:\n  - {words[0]}: there is no such command{hint}", file=sys.stderr)
        return WRONG_INPUT
    return DONE


def version() -> str:
    """`offermix 0.1.0, code 0.1.0+d2f8a1b2c3d4`: the release, and exactly which program."""
    digests = import_module(f"{HOME}.runs.digests")
    return f"offermix {digests.package_version()}, code {digests.code_version()}"


def overview() -> str:
    """Every command in one line."""
    lines = ["offermix NAME key=value ...", "", "Which paid product to offer to whom: scored, allocated and certified."]
    for title, names in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name.ljust(WIDTH)}  {_meaning(name)}" for name in names)]
    return "\n".join([*lines, "", "offermix NAME --help lists the keys of a command; offermix --version, the program."])


def _meaning(name: str) -> str:
    """Of commands that are several in one, what they have in common."""
    if name == "bench":
        return "allocator, ranker or questions measured, next to others"
    return {**KEYS, **AT_ONCE}[name][0].split("; ")[0]
