"""A tiny week, and everything that may happen to it, to show that nothing published is ever lost or half there, and that the next call
ends as if nothing had happened; and publications that readers, rivals and stops come between, on a disk and on a store.

Modules, in the order in which data flows:

- records: what faults that were brought about came to
- tiny_week: the week that goes through them, and the one published before it
- trees: folders as they might be, told apart by a digest
- kept_by_disk: what a disk that loses power would have kept
- resumed: what readers see in a folder, and what the next call makes of it
- called: a week called as its command calls it
- prepared: both weeks, with which every kind of fault begins
- stopped: every state that a stop can leave behind, each in a folder of its own
- enumerated: all stops of the week, each checked in a folder of its own
- killed: real processes that are ended
- injected: acts that the system refuses
- full_disk: a real file system that is full
- damaged: files that a disk gives back otherwise
- changed_inputs: input that changes during a run
- untracked: MLflow that is gone
- raced: two at once
- clocked: clocks that are wrong
- local_s3: a store's server on this machine
- tiny_runs: finished runs of a few files, and where they are published
- flips: publications under a reader that never stops
- races: two publishers at once
- requests_stopped: a publisher stopped at every request to its store
- publications: the last three as a kind of fault
- sections: all kinds of fault by name
- told: the table of what was found
"""
