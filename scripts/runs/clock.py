"""The clock: what every record of a run says of when. Nothing is decided by it but the name of a week of tables.

A test sets it back (`set_back`).
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

_back = [timedelta()]


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC) - _back[-1]


def today() -> date:
    """Where this machine is."""
    return (datetime.now() - _back[-1]).date()


def milliseconds() -> int:
    """Since 1970, as MLflow counts them."""
    return round(1000 * now().timestamp())


@contextlib.contextmanager
def set_back(by: timedelta) -> Iterator[None]:
    """Within it the clock shows what it showed so long ago."""
    _back.append(_back[-1] + by)
    try:
        yield
    finally:
        _back.pop()
