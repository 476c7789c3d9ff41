"""Did you mean: the word that was probably meant, and what there is to choose from."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz import fuzz, process

LIKENESS = 60
MOST_NAMED = 12
MOST_COMPARED = 1_000
"""Of many words those next in the alphabet are compared: a file can name thousands that are unknown."""


@dataclass(frozen=True)
class Vocabulary:
    """Words that there are, in any order; what looking for one of them takes is worked out once."""

    words: tuple[object, ...]

    @cached_property
    def _ordered(self) -> list[tuple[str, str]]:
        """Every word without its case, and as it is, in the order of the alphabet."""
        return sorted((each.casefold(), each) for each in {str(word) for word in self.words})

    @cached_property
    def _folded(self) -> list[str]:
        return [folded for folded, _ in self._ordered]

    @cached_property
    def _listed(self) -> str:
        names = sorted({str(word) for word in self.words})
        rest = len(names) - MOST_NAMED
        return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")

    def likely(self, word: object) -> str | None:
        """The most similar word, or None where none is similar enough."""
        meant = str(word).casefold()
        first = max(0, min(bisect_left(self._folded, meant) - MOST_COMPARED // 2, len(self._folded) - MOST_COMPARED))
        near = self._folded[first : first + MOST_COMPARED]
        found = process.extractOne(meant, near, scorer=fuzz.ratio, score_cutoff=LIKENESS)
        return None if found is None else self._ordered[first + found[2]][1]

    def hint(self, word: object) -> str:
        """The end of an error's sentence: "; did you mean 'push'?", or the list of what there is where that is short."""
        best = self.likely(word)
        if best is not None:
            return f"; did you mean '{best}'?"
        return f"; there is {self._listed}" if self.words else ""


def likely(word: object, words: Iterable[object]) -> str | None:
    """As `Vocabulary.likely`, of words that are asked for once."""
    return Vocabulary(tuple(words)).likely(word)


def hint(word: object, words: Iterable[object]) -> str:
    """As `Vocabulary.hint`, of words that are asked for once."""
    return Vocabulary(tuple(words)).hint(word)
