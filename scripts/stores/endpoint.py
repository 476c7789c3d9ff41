"""What the environment says of a store's endpoint: plain http goes to this machine alone, unless the environment allows more."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from ranker.files import InputError
from scripts.cli.store_address import Address

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}
ALLOWED = "AWS_ALLOW_HTTP"
"""The variable that lets requests go to another machine without encryption."""


def plain_http(address: Address, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the endpoint is plain http, which is allowed on this machine alone unless the environment says otherwise."""
    name = next((name for name in ENDPOINTS[address.scheme] if environment.get(name)), None)
    if name is None or urlsplit(environment[name]).scheme.lower() != "http":
        return False
    if not _is_here(urlsplit(environment[name]).hostname) and environment.get(ALLOWED, "").lower() not in ("1", "true"):
        raise InputError(
            [
                f"{name}: is plain http to another machine, where anyone on the way reads along; use https, or say {ALLOWED}=true"
            ]
        )
    return True


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
