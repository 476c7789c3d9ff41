"""Addresses of stores: a bucket and a prefix, and never a secret, in settings or in what is said of them."""

import pytest
from pydantic import ValidationError

from scripts.cli.settings import PublishOptions, Settings, problems_of
from scripts.cli.store_address import Address, address_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://offers", Address("s3", "offers", "")),
        ("s3://offers/", Address("s3", "offers", "")),
        ("gs://my.offers/weekly/team=a", Address("gs", "my.offers", "weekly/team=a")),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(text: str, address: Address) -> None:
    assert address_of(text) == address
    assert str(address) == text.rstrip("/") and PublishOptions(store=text).store == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hidden@offers/x", "s3://offers/x?token=hidden", "https://hidden/x", "s3://Hidden", "s3://", "s3:///hidden",
        "s3://offers//hidden", "s3://offers/../hidden", "file:///hidden", "az://hidden/x", "s3://offers/x y hidden", "hidden", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        PublishOptions(store=text)
    (problem,) = problems_of(wrong.value, Settings)
    assert problem.startswith("store: is no address of a store; write s3://BUCKET/PREFIX") and "hidden" not in problem
