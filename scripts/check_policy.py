"""Everything that is wrong with a policy, at once: `python -m scripts.check_policy policy=FILE [scores=DIR | catalogue=FILE]`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date

from allocator.policy.checked import Checked, check_file, known_words, meant_for
from allocator.policy.words import RULES, shown
from ranker.files import InputError
from scripts.cli import at_once
from scripts.cli.statuses import DONE, WRONG_INPUT

MOST_VALUES = 20
"""Of one word, in the table for people; JSON has them all."""


def run(given: at_once.Given) -> int:
    """Prints what is wrong and what is seldom meant; the status is that of wrong input where anything is wrong."""
    meant = meant_for(given.paths.get("scores"), given.paths.get("catalogue"))
    checked = check_file(given.path("policy"), given.set, meant, date.today())
    words = known_words(meant) if "words" in given.yes else None
    if "json" in given.yes:
        problems = list(_listed(checked))
        told = problems if words is None else {"problems": problems, "words": words}
        at_once.show_json(told)
    else:
        _show(checked, words or {})
    return DONE if checked.policy is not None else WRONG_INPUT


def _listed(checked: Checked) -> Iterator[Mapping[str, object]]:
    for severity, problems in (("error", checked.problems), ("warning", checked.warnings)):
        yield from ({**asdict(problem), "severity": severity} for problem in problems)


def _show(checked: Checked, words: Mapping[str, Mapping[str, list[object]]]) -> None:
    for sort, known in words.items():
        for name, values in known.items():
            rest = f" and {len(values) - MOST_VALUES:,} more" if len(values) > MOST_VALUES else ""
            print(f"{sort:6}  {name:20}  {', '.join(map(shown, values[:MOST_VALUES]))}{rest}")
    for warning in checked.warnings:
        print(f"Mind: {warning.sentence}")
    if checked.policy is None:
        raise InputError([problem.sentence for problem in checked.problems])
    rules = sum(len(getattr(checked.policy, name)) for name in RULES)
    print(f"Nothing is wrong with this policy of {rules} rules.")


if __name__ == "__main__":
    at_once.main("check_policy", run, ["policy"])
