"""What is published on a store, for whoever reads it: the pointer once, then only objects below the prefix that it names.

    from scripts.stores.reader import published, fetch_published

    publication = published("s3://bucket/offers")            # which run, who published it, when, why
    fetch_published("s3://bucket/offers", Path("current"))   # all its objects, each checked

A reader in another language does the same in three steps: GET `published.json`; GET the key in its `objects`, whose sha256 is
`objects_digest`; GET what is listed there, below the same prefix, and check each sha256. What is published meanwhile changes none of them.
"""

from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.cli.store_address import WANTED, address_of
from scripts.formats.pointer import Publication
from scripts.stores.chain import read_head
from scripts.stores.objects import ObjectStore
from scripts.stores.uploaded import fetch


def published(store: ObjectStore | str) -> Publication | None:
    """What is published now, or None. store: opened, or its address."""
    return read_head(_opened(store)).publication


def fetch_published(store: ObjectStore | str, folder: Path) -> Publication:
    """Downloads what is published now, whole and checked, into a new folder.

    Args:
        store: opened, or its address.
        folder: is made; it appears with every file or not at all.

    Raises:
        InputError: nothing is published, an object is not what was published, or the folder is there already.
        StoreFailed: the store does not answer.
    """
    opened = _opened(store)
    publication = read_head(opened).publication
    if publication is None:
        raise InputError([f"{opened.address}: nothing is published there"])
    if folder.exists():
        raise InputError([f"{folder}: is there already; name a new folder"])
    beside = folder.with_name(f".{folder.name}.{publication.id}.new")
    try:
        disk.make_folder(beside, parents=True)
        fetch(opened, publication, beside)
        disk.sync_tree(beside)
        disk.rename(beside, folder)
        disk.sync_folder(folder.parent)
    finally:
        if beside.exists():
            disk.remove(beside)
    return publication


def _opened(store: ObjectStore | str) -> ObjectStore:
    if not isinstance(store, str):
        return store
    address = address_of(store)
    if address is None:
        raise InputError([f"store: {WANTED}"])
    return ObjectStore(address)
