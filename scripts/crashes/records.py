"""What stops of a week came to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KindOfStop:
    """points: stops that were enumerated; states: different folders that they leave and that were checked. faults: in sentences."""

    kind: str
    points: int
    states: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Faults:
    """acts: writes, syncs, renames, links and removals of the week. states, checked: different folders that stops leave."""

    acts: int
    states: int
    checked: int
    kinds: tuple[KindOfStop, ...]
    seconds: float

    @property
    def points(self) -> int:
        return sum(each.points for each in self.kinds)

    @property
    def faults(self) -> tuple[str, ...]:
        """Of all kinds, each once."""
        return tuple(dict.fromkeys(fault for each in self.kinds for fault in each.faults))
