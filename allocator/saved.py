"""An allocation's folder, read back: rows, constraints and prices as frames, certificate and audit as records.

JSON files lie beside the Parquet files, so a library that takes a whole folder for one table has to be given the Parquet files alone.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from allocator.formats import AUDIT, CERTIFICATE, AuditRecord, Certificate, PriceBook, read_price_book
from ranker.files import InputError, not_a_folder, parquet_table, some_parquet_files


@dataclass(frozen=True)
class SavedAllocation:
    """A folder that `allocate` wrote, this week or any other."""

    folder: Path

    @cached_property
    def certificate(self) -> Certificate:
        """Value, bound, gap and constraints as they were certified."""
        return Certificate.from_file(self.folder / CERTIFICATE)

    @cached_property
    def audit(self) -> AuditRecord | None:
        """What the independent audit recounted; None where another program wrote the folder without one."""
        path = self.folder / AUDIT
        return AuditRecord.from_file(path) if path.exists() else None

    @cached_property
    def price_book(self) -> PriceBook:
        return read_price_book(self.folder)

    def contacts(self) -> pd.DataFrame:
        """A row per contact: user_id, action, slot, value, margin, runner_up, source, propensity, marginal_propensity."""
        return pd.concat(
            [parquet_table(file).to_pandas() for file in some_parquet_files(self.folder)], ignore_index=True
        )

    def constraints(self) -> pd.DataFrame:
        """A row per constraint as the certificate states it: bounds, what was achieved, slack, binding side, price, multiplier."""
        return pd.DataFrame([record.model_dump() for record in self.certificate.constraints])

    def prices(self) -> pd.DataFrame:
        """A row per side of every enforced constraint: constraint, side (`min` or `max`), multiplier."""
        rows = [row.model_dump() for row in self.price_book.rows]
        return pd.DataFrame(rows, columns=["constraint", "side", "multiplier"])


def read_allocation(folder: Path | str) -> SavedAllocation:
    """Opens the folder of an allocation; its files are read when they are asked for.

    Args:
        folder: what `allocate` wrote, like `runs/2026-W48/allocation`.

    Returns:
        The allocation: rows, constraints and prices as frames, the certificate and the audit as records.

    Raises:
        InputError: there is no such folder, or no certificate in it.
    """
    path = Path(folder)
    if fault := not_a_folder(path):
        raise InputError([f"{path}: {fault}"])
    if not (path / CERTIFICATE).exists():
        raise InputError([f"{path}: holds no {CERTIFICATE}, so it is no allocation"])
    return SavedAllocation(path)
