"""A tiny week stopped at every write, to show that nothing published is ever lost or half there, and that the next call ends as if
nothing had happened; and publications that readers, rivals and stops come between, on a disk and on a store.

Modules, in the order in which data flows:

- tiny_week: the week that is stopped, and the one published before it
- trees: folders as they might be, told apart by a digest
- kept_by_disk: what a disk that loses power would have kept
- stopped: every state that a stop can leave behind, each in a folder of its own
- resumed: what readers see in such a state, and what the next call makes of it
- records: what was found
- enumerated: all stops of the week, each checked in a folder of its own
- told: the table of what was found
- local_s3: a store's server on this machine
- tiny_runs: finished runs of a few files, and where they are published
- flips: publications under a reader that never stops
- races: two publishers at once
- requests_stopped: a publisher stopped at every request to its store
"""
