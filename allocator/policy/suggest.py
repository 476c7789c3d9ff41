"""Did you mean: the word that was probably meant, and what there is to choose from."""

from collections.abc import Iterable

from rapidfuzz import fuzz, process

LIKENESS = 60
MOST_NAMED = 12


def likely(word: object, words: Iterable[object]) -> str | None:
    """The most similar of `words`, or None where none is similar enough."""
    choices = sorted({str(each) for each in words})
    found = process.extractOne(str(word), choices, scorer=fuzz.ratio, processor=str.casefold, score_cutoff=LIKENESS)
    return None if found is None else found[0]


def hint(word: object, words: Iterable[object]) -> str:
    """The end of an error's sentence: "; did you mean 'push'?", or the list of what there is where that is short."""
    choices = sorted({str(each) for each in words})
    best = likely(word, choices)
    if best is not None:
        return f"; did you mean '{best}'?"
    if not choices:
        return ""
    named = ", ".join(choices[:MOST_NAMED])
    rest = len(choices) - MOST_NAMED
    return f"; there is {named}" + (f" and {rest} more" if rest > 0 else "")
