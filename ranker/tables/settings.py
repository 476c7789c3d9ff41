"""Settings of the preparation of tables."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class PrepareOptions(BaseModel):
    """as_of: prepare as of this day instead of the day on which the tables were taken; later records stay unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = Field(None, description="an earlier day than the tables' own, for a look back")
    rows_at_once: int = Field(400_000, ge=1, description="decisions held in memory at a time")
