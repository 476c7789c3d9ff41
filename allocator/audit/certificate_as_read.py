"""What the certificate says: `certificate.json`, taken for nothing more than claims."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from allocator.audit.checks import number
from allocator.audit.rows import Unreadable
from allocator.policy.kinds.tier import tier_id
from ranker.files import MOST_JSON_BYTES, read_bytes


@dataclass(frozen=True)
class ToldTier:
    """An earlier tier as the certificate tells it."""

    id: str
    value: float
    bound: float
    floor: float


@dataclass(frozen=True)
class Claims:
    """The certificate's content; the list of its constraints is one, and each has an id."""

    content: Mapping

    def get(self, key: str, default: object = None) -> object:
        return self.content.get(key, default)

    @cached_property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.content["constraints"]]

    @cached_property
    def constraints(self) -> Mapping[str, Mapping]:
        return {each["id"]: each for each in self.content["constraints"]}

    @cached_property
    def tiers(self) -> list[ToldTier]:
        """What is said of the earlier tiers; a tier without its numbers is not counted."""
        listed = self.get("tiers", [])
        listed = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list | tuple) else []
        found = []
        for position, each in enumerate(listed):
            value, bound, floor = (number(each.get(key)) for key in ("value", "bound", "floor"))
            if value is not None and bound is not None and floor is not None:
                found.append(ToldTier(tier_id(position), value, bound, floor))
        return found


def read_claims(path: Path) -> Claims:
    try:
        content = json.loads(read_bytes(path, MOST_JSON_BYTES), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"certificate.json cannot be read ({type(error).__name__})") from None
    if not isinstance(content, dict) or not isinstance(content.get("constraints"), list):
        raise Unreadable("certificate.json is not an object with a list of constraints")
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in content["constraints"]):
        raise Unreadable("certificate.json has a constraint without an id")
    return Claims(content)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def priced_side(claim: Mapping) -> str | None:
    """The bound that the certificate's multiplier belongs to: the only one there is, or the one that binds."""
    given = [side for side in ("min", "max") if number(claim.get(side)) is not None]
    if len(given) == 1:
        return given[0]
    return claim.get("binding") if claim.get("binding") in given else None
