"""What faults that were brought about came to."""

from dataclasses import dataclass
from typing import Literal

Sort = Literal["lost or half published", "other bytes", "left behind", "not told"]


@dataclass(frozen=True)
class FaultFound:
    """Something that must not be. sort: the column of the table that counts it."""

    sort: Sort
    sentence: str

    def at(self, place: str) -> "FaultFound":
        return FaultFound(self.sort, f"{place}: {self.sentence}")


@dataclass(frozen=True)
class FaultRow:
    """One kind of fault. places: at how many it was brought about; checked: how many different folders that it left were called again;
    seconds: wall time, 0 where a row shares it with the one above; remark: how it was done, or what is not protected."""

    kind: str
    places: int
    checked: int
    faults: tuple[FaultFound, ...] = ()
    seconds: float = 0.0
    remark: str = ""


@dataclass(frozen=True)
class FaultSection:
    """Kinds of fault that were brought about together. summary: of all rows, in a sentence."""

    name: str
    rows: tuple[FaultRow, ...]
    summary: str = ""

    @property
    def faults(self) -> tuple[FaultFound, ...]:
        """Of all rows, each once."""
        return tuple(dict.fromkeys(fault for row in self.rows for fault in row.faults))


@dataclass(frozen=True)
class Faults:
    """Stops of a week. acts: its writes, syncs, renames, links and removals. states, checked: different folders that stops leave."""

    acts: int
    states: int
    checked: int
    kinds: tuple[FaultRow, ...]
    seconds: float

    @property
    def points(self) -> int:
        return sum(each.places for each in self.kinds)

    @property
    def faults(self) -> tuple[FaultFound, ...]:
        """Of all kinds, each once."""
        return tuple(dict.fromkeys(fault for each in self.kinds for fault in each.faults))

    def section(self) -> FaultSection:
        some = "" if self.checked == self.states else f", of which {self.checked:,} were checked"
        told = f"{self.acts:,} acts of a week, {self.points:,} stops, {self.states:,} different states{some}"
        first, *others = self.kinds
        timed = FaultRow(first.kind, first.places, first.checked, first.faults, self.seconds)
        return FaultSection("stops", (timed, *others), told)
