"""What users were given before: the earlier allocation that constraints compare with.

Axes: N contacts.
"""

from pathlib import Path

import numpy as np

from allocator.audit.kinds import AUDITED
from allocator.audit.rows import (
    ContactsAsRead,
    Numbered,
    Numbering,
    Unreadable,
    batches,
    by_user,
    codes_of,
    ids_of,
    open_rows,
)
from allocator.policy.grammar import Policy
from ranker.files import parquet_files
from ranker.scores import Scores

COLUMNS = ("user_id", "action")
WHAT = "the earlier allocation's rows"


def read_earlier(previous: Path | None, policy: Policy, scores: Scores, numbering: Numbering) -> ContactsAsRead | None:
    """The earlier allocation where a constraint compares with it: some 10 bytes a contact. Its actions may be gone since."""
    if not any(AUDITED[rule.kind].compares for rule in policy.constraints):
        return None
    files = [] if previous is None else parquet_files(previous)
    if not files:
        raise Unreadable("the policy compares with an earlier allocation, and there is none to read")
    opened = [open_rows(file, COLUMNS, WHAT) for file in files]
    action_N = np.empty(sum(parquet.metadata.num_rows for parquet in opened), np.int16)
    users, first = Numbered(numbering), 0
    for parquet in opened:
        for table in batches(parquet, COLUMNS, WHAT):
            part = slice(first, first := first + len(table))
            action_N[part] = codes_of(table.column("action"), scores.catalogue.ids)
            users.add(ids_of(table, numbering.type, WHAT))
    return ContactsAsRead(*by_user(users.all(), action_N))
