"""The sum of a metric per contact."""

from typing import Literal

from allocator.policy.kinds.base import ContactSum, OfEstimates, Rate, UnitWords, contacts_in, factors, for_whom
from allocator.policy.words import Text


class Average(OfEstimates, Rate):
    """The sum of a metric's mean, times an attribute, divided by the number of contacts, both over the scope."""

    kind: Literal["average"] = "average"
    metric: Text
    times: Text | None = None

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where,), self.metric, self.times)

    @property
    def denominator(self) -> ContactSum:
        return ContactSum((self.where,))

    @property
    def about(self) -> str:
        return f"{factors(self.metric, self.times)} per contact, over {contacts_in(self.where)}{for_whom(self.users)}"

    def unit(self, words: UnitWords) -> str:
        return f"{words(self.metric, self.times)} per contact"
