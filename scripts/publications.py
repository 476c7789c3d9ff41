"""Who published what, when and why, and whether that was changed since: `python -m scripts.publications [store=ADDRESS]`."""

from collections.abc import Iterator

from scripts.cli import entry
from scripts.cli.settings import PublicationsSettings
from scripts.pages.publications import show_chain
from scripts.runs.published import BrokenChain, Chain, chain_of
from scripts.stores.chain import read_chain
from scripts.stores.publishing import store_of


def run(settings: PublicationsSettings) -> tuple[Chain, ...]:
    """The chain of the folder of runs, where anything was published from there, and that of the store, where one is configured."""
    return tuple(_chains(settings))


def _chains(settings: PublicationsSettings) -> Iterator[Chain]:
    store = store_of(settings.publish)
    local = chain_of(settings.paths.runs)
    if local.entries or local.broken or store is None:
        yield local
    if store is not None:
        yield read_chain(store)


def main(settings: PublicationsSettings) -> None:
    chains, head = run(settings), settings.publications.head
    for chain in chains:
        show_chain(chain)
    faults = [f"{chain.place}: {fault}" for chain in chains for fault in chain.broken]
    if head is not None and not any(head == each.digest for chain in chains for each in chain.entries):
        faults.append(
            f"head={head}: no entry has this digest any more, so publications were written anew since it was noted"
        )
    if faults:
        raise BrokenChain(faults)


if __name__ == "__main__":
    entry.main("publications", PublicationsSettings, main)
