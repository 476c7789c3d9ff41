"""The sum of a metric or of an attribute over contacts."""

from typing import ClassVar, Literal

from pydantic import model_validator

from allocator.policy.kinds.base import ContactConstraint, ContactSum, OfEstimates, UnitWords
from allocator.policy.words import Text, sums_something


class Total(OfEstimates, ContactConstraint):
    """The sum of a metric's mean, times an attribute, over the contacts in scope; or of the attribute alone."""

    grows_with_users: ClassVar[bool] = True

    kind: Literal["total"] = "total"
    metric: Text | None = None
    times: Text | None = None

    _summed = model_validator(mode="after")(sums_something)

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where,), self.metric, self.times)

    def unit(self, words: UnitWords) -> str:
        return words(self.metric, self.times)
