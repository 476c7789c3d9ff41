"""Addresses of object stores: `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`, and nothing else, since settings are logged.

Credentials and endpoints stand in the environment alone.
"""

import re
from dataclasses import dataclass

ADDRESS = re.compile(r"(s3|gs)://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])((?:/[A-Za-z0-9][A-Za-z0-9._=-]*)*)/?")
WANTED = (
    "is no address of a store; write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, of letters, digits and . _ - =; "
    "credentials stand in the environment"
)


@dataclass(frozen=True)
class Address:
    """scheme: `s3` or `gs`; prefix: without slashes around it, empty for the whole bucket."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def address_of(text: str) -> Address | None:
    """None where the text is no address. Who says so must not repeat the text: it might hold a secret."""
    found = ADDRESS.fullmatch(text)
    return None if found is None else Address(found[1], found[2], found[3].strip("/"))
