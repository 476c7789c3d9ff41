"""One sum per another."""

from typing import ClassVar, Literal

from pydantic import model_validator

from allocator.policy.kinds.base import ContactSum, OfEstimates, Rate, UnitWords, contacts_in, factors, for_whom
from allocator.policy.words import Measure, Text, sums_something


class Ratio(OfEstimates, Rate):
    """The sum of a metric, or of an attribute, divided by the sum of `per`, both over the scope."""

    measures: ClassVar[tuple[str, ...]] = ("per",)

    kind: Literal["ratio"] = "ratio"
    metric: Text | None = None
    times: Text | None = None
    per: Measure

    _summed = model_validator(mode="after")(sums_something)

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where,), self.metric, self.times)

    @property
    def denominator(self) -> ContactSum:
        return ContactSum((self.where,), self.per.metric, self.per.times)

    @property
    def about(self) -> str:
        rate = f"{factors(self.metric, self.times)} per {factors(self.per.metric, self.per.times)}"
        return f"{rate}, over {contacts_in(self.where)}{for_whom(self.users)}"

    def unit(self, words: UnitWords) -> str:
        return f"{words(self.metric, self.times)} per {words(self.per.metric, self.per.times)}"
