"""The answer of a seek in the terminal: the sentence, and what was tried on the way."""

from allocator.amounts import number
from allocator.workbench.answers import Seek
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


def _value(value: float | None) -> str:
    return "" if value is None else number(value)
