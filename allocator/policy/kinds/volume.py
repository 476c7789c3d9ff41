"""Contacts in scope: min <= sum x <= max."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from allocator.policy.kinds.base import ContactCount, WholeBounds


class Volume(ContactCount, WholeBounds):
    """Contacts in scope: min <= sum x <= max, a percentage being that share of the users in `users` (holdout included)."""

    advice: ClassVar[Mapping[str, str]] = {
        "times": ". The sum of an attribute over contacts is of kind total, with `times` and without `metric`"
    }

    kind: Literal["volume"] = "volume"
