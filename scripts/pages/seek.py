"""The answer of a seek in the terminal: the sentence, and what was tried on the way."""

from allocator.amounts import number
from allocator.workbench.answers import Least, Seek
from allocator.workbench.sentences import signed
from scripts.cli import entry

COLUMNS = ("tried", "gives", "value")


def show_seek(answer: Seek) -> None:
    """Prints the answer."""
    print(answer.sentence)
    basis = "an allocation" if answer.full else f"{answer.sample:,}"
    print(f"From {basis} of {answer.users:,} listeners, {answer.seconds:.1f} s. Nothing was published.")
    rows = [
        (
            str(each.bound),
            "the rules contradict each other" if each.value is None else number(each.achieved),
            _value(each.value),
        )
        for each in answer.tried
    ]
    entry.show_table(f"{answer.by}, now {answer.now if answer.now is not None else 'not set'}", COLUMNS, rows)


def show_least(answer: Least) -> None:
    """Prints the answer of the dual question."""
    print(answer.sentence)
    print(f"From {answer.sample:,} of {answer.users:,} listeners, {answer.seconds:.1f} s. Nothing was published.")
    columns = ("", "now", "with the least")
    rows = [
        (f"{answer.what}, {answer.unit}", number(answer.now), number(answer.least)),
        ("value", number(answer.value_now), number(answer.value)),
        ("listeners moved", "", signed(answer.users_moved, "")),
    ]
    entry.show_table("The same value with less", columns, rows)


def _value(value: float | None) -> str:
    return "" if value is None else number(value)
