"""The allocation before this one, as far as its folder still tells it: whatever is gone, or cannot be read, is said and passed over."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from allocator.formats import CERTIFICATE, POLICY, SaidOfWeek
from allocator.policy.grammar import Policy
from allocator.report.policy_used import policy_beside
from ranker.catalogue import Catalogue, read_catalogue
from ranker.columns import is_text
from ranker.files import InputError, batches, parquet_schema, some_parquet_files

ROWS_AT_ONCE = 1_048_576


@dataclass(frozen=True)
class EarlierFolders:
    """Where the allocation before this one stands. name: of its run, for people; catalogue: the file that names its actions."""

    allocation: Path
    name: str
    catalogue: Path | None = None


@dataclass(frozen=True)
class LastWeek:
    """said: what its certificate tells, None where nothing can be compared. contacts: by action id, None where the rows cannot be read.

    actions: in which the ids are found. policy: None where its folder does not hold it. missing: sentences about what is not told.
    """

    name: str
    said: SaidOfWeek | None
    contacts: Mapping[str, int] | None
    actions: Sequence[Mapping[str, object]]
    policy: Policy | None
    missing: tuple[str, ...]


def read_last_week(folders: EarlierFolders, this_week: Catalogue) -> LastWeek:
    """Never raises for what it finds: a page about this week does not fail over another one."""
    name, missing = folders.name, list[str]()
    said = SaidOfWeek.from_file_if_sound(folders.allocation / CERTIFICATE)
    if said is None:
        why = "cannot be read" if (folders.allocation / CERTIFICATE).exists() else "is not there any more"
        return LastWeek(name, None, None, (), None, (f"The certificate of {name}, the week before, {why}.",))
    contacts = _contacts(folders.allocation)
    if contacts is None:
        missing.append(f"The contacts of {name} cannot be read any more, so they are not counted by offer.")
    return LastWeek(
        name, said, contacts, _actions(folders.catalogue, this_week), _policy(folders.allocation), tuple(missing)
    )


def _contacts(allocation: Path) -> Counter[str] | None:
    """By action id."""
    found: Counter[str] = Counter()
    try:
        for file in some_parquet_files(allocation):
            schema = parquet_schema(file)
            if "action" not in schema.names or not is_text(schema.field("action").type):
                return None
            for batch in batches(file, ROWS_AT_ONCE, ["action"]):
                for each in pc.value_counts(batch.column(0)).to_pylist():
                    found[str(each["values"])] += each["counts"]
    except InputError:
        return None
    return found


def _actions(file: Path | None, this_week: Catalogue) -> Sequence[Mapping[str, object]]:
    """As last week's catalogue has them, then this week's others: offers come and go."""
    try:
        earlier = () if file is None else read_catalogue(file).actions
    except InputError:
        earlier = ()
    known = {action["id"] for action in earlier}
    return (*earlier, *(action for action in this_week.actions if action["id"] not in known))


def _policy(allocation: Path) -> Policy | None:
    try:
        return policy_beside(allocation / POLICY)
    except InputError:
        return None
