"""Publishing on a store: the gates are asked, the objects made and read back, the entry written, and the pointer put, in this order.

Until the pointer is put, readers see what was published before; what a publisher that dies leaves behind is completed, or never read. The
folder of runs gets the same pointer after the store has it: it follows, and a call that finds it behind brings it up to the store.
"""

import contextlib
import logging
import secrets
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.cli.store_address import address_of
from scripts.formats.pointer import Pointer, Publication, digest_of
from scripts.gates.week_seen import WeekSeen
from scripts.runs import pointer as local
from scripts.runs.pointer import Flip, LostRace, Refused, Why, allocation_digest
from scripts.runs.published import current
from scripts.stores.chain import Head, advance, last_of, read_head
from scripts.stores.objects import ObjectStore
from scripts.stores.uploaded import ALLOCATION, fetch, list_of, upload, upload_of, verify

log = logging.getLogger("offermix.publish")


def store_of(options: PublishOptions) -> ObjectStore | None:
    """The configured store, or None where the folder of runs is all there is."""
    address = None if options.store is None else address_of(options.store)
    return None if address is None else ObjectStore(address)


def publish(run: Path, guardrails: PublishOptions) -> Flip:
    """On the configured store, or where there is none in the folder of runs alone."""
    store = store_of(guardrails)
    return local.publish(run, guardrails) if store is None else publish_on(store, run, guardrails)


def rollback(runs: Path, to: str, guardrails: PublishOptions) -> Flip:
    """On the configured store, or where there is none in the folder of runs alone."""
    store = store_of(guardrails)
    return local.rollback(runs, to, why=guardrails) if store is None else rollback_on(store, runs, to, guardrails)


def publish_on(store: ObjectStore, run: Path, guardrails: PublishOptions, now: datetime | None = None) -> Flip:
    """As `scripts.runs.pointer.publish`, on a store; gates compare with what is published there.

    Raises InputError, StoreFailed, and Refused with every reason, which may be that another publisher was first.
    """
    run, allocation = local.locate(run)
    with local.flipping(run.parent):
        head = read_head(store)
        same = head.publication is not None and local.is_named_by(head.publication, run, allocation)
        with _last_week(store, None if same else head.publication, run.parent) as last:
            weeks = local.compared(run, allocation, last)
            if same and head.publication is not None and not weeks.faults:
                done = local.again(weeks, guardrails, head.publication)
            else:
                gates = local.ask_gates(weeks, guardrails)
                wanted = upload_of(run, allocation, allocation_digest(allocation))
                upload(store, wanted)
                done = _put(store, head, wanted.fields, Why.of(guardrails, gates), now)
        local.flip(run, allocation, Why.of(guardrails, done.gates), now)
        return done


def rollback_on(
    store: ObjectStore, runs: Path, to: str, guardrails: PublishOptions, now: datetime | None = None
) -> Flip:
    """Points the store back to a run that was published there before and still is what it was then.

    The folder of runs follows where the run is in it as it was published.
    """
    with local.flipping(runs) if runs.is_dir() else contextlib.nullcontext():
        head = read_head(store)
        before = last_of(store, head, to)
        if before is None:
            raise Refused(to, [f"it was never published on {store.address}; use publish"])
        why, done = Why.back(guardrails), Flip(before, moved=False)
        if before != head.publication:
            verify(store, before.objects.rpartition("/")[0], list_of(store, before))
            done = _put(store, head, _fields(before), why, now)
        if not _follows(runs, before, why, now):
            log.warning("%s does not hold %s as it was published: its own pointer stays", runs, to)
        return done


def check_store(guardrails: PublishOptions | None, runs: Path) -> None:
    """Called before a week begins: the store can be read, and the folder of runs names what is published there, where it has it.

    guardrails: None where the week is not published.
    """
    if guardrails is None or (store := store_of(guardrails)) is None:
        return
    publication, here = read_head(store).publication, current(runs)
    if publication is None:
        told = "Nothing is published on %s yet" + ("" if here is None else f"; gates compare with {here.run} of {runs}")
        log.log(logging.INFO if here is None else logging.WARNING, told, store.address)
    elif not _brought_up(runs, publication, here):
        there = "nothing" if here is None else here.run
        told = "%s has %s published, and this folder of runs %s: rules compare with that"
        log.warning(told, store.address, publication.run, there)


def _brought_up(runs: Path, publication: Publication, here: Pointer | None) -> bool:
    """Whether the folder of runs names what the store does by now; it does not where another publisher is at it."""
    if here is not None and here.allocation_digest == publication.allocation_digest:
        return True
    with contextlib.suppress(InputError):
        if (runs / publication.run).is_dir():
            with local.flipping(runs):
                return _follows(runs, publication, Why(publication.action, publication.by, publication.reason), None)
    return False


def _put(store: ObjectStore, head: Head, fields: dict[str, str], why: Why, now: datetime | None) -> Flip:
    number, before = head.link
    publication = Publication(
        previous=None if head.publication is None else head.publication.run,
        number=number,
        before=before,
        id=secrets.token_hex(8),
        **{**fields, **why.told(now)},
    )
    if not advance(store, head, publication):
        raise LostRace(fields["run"], [_lost(store)], why.gates)
    log.info("Entry %d of %s has the digest %s", number, store.address, digest_of(publication.text()))
    return Flip(publication, moved=True, gates=why.gates)


def _lost(store: ObjectStore) -> str:
    winner = read_head(store).publication
    if winner is None:
        return f"what was published on {store.address} was taken away meanwhile"
    return f"another publisher was first: {winner.run} was published at {winner.at} by {winner.by or 'somebody who gave no name'}"


def _fields(publication: Publication) -> dict[str, str]:
    names = ("run", "allocation", "allocation_digest", "objects", "objects_digest")
    return {name: getattr(publication, name) for name in names}


def _follows(runs: Path, publication: Publication, why: Why, now: datetime | None) -> bool:
    """Whether the folder of runs has what is published on the store, and so names it now."""
    with contextlib.suppress(InputError):
        run, allocation = local.locate(runs / publication.run)
        if not any(local.file_reasons(allocation)) and local.is_named_by(publication, run, allocation):
            local.flip(run, allocation, why, now)
            return True
    return False


@contextlib.contextmanager
def _last_week(store: ObjectStore, publication: Publication | None, runs: Path) -> Iterator[WeekSeen | None]:
    """What is published on the store: the folder of that run where it is the same, or else downloaded for as long as gates ask.

    A store that has nothing yet is where this folder moves to: what the folder has published is last week.
    """
    if publication is None:
        here = current(runs)
        yield None if here is None else local.week_of_pointer(runs, here)
        return
    folder = runs / publication.run
    if (folder / ALLOCATION).is_dir() and allocation_digest(folder / ALLOCATION) == publication.allocation_digest:
        yield WeekSeen(publication.run, folder, folder / ALLOCATION)
        return
    with tempfile.TemporaryDirectory(prefix="published-") as name:
        log.info("Fetching %s, the last published week, from %s", publication.run, store.address)
        folder = Path(name) / publication.run
        fetch(store, publication, folder)
        yield WeekSeen(publication.run, folder, folder / ALLOCATION)
