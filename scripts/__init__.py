"""One thin file per command: a plain, tested `run(settings)` under a one-line main.

Packages, and then the commands in the order in which a week runs:

- cli: the words of a command line as settings, progress and exit statuses
- formats: what the JSON files of commands hold, one frozen model each
- runs: folders that are whole or absent, the pointer to the published one, and its record
- pages: results as one HTML file each
- judging: what policies are compared with, and rehearsed on
- bench: benchmarks by name, and their part of the documents
- make_market: a synthetic market with known truth
- prepare: tables to logs
- hillstrom: a public e-mail trial to logs
- train: logs to a calibrated model
- score: users to scores
- allocate: scores and a policy to an audited allocation
- evaluate: a model and the policy it leads to, judged on users it never saw
- readout: the holdout against everybody else, and whether to ship
- judge: an allocation, valued from held-out logs
- regret: all of them, judged on a synthetic market's truth
- report: a run as one page for people
- publish: the pointer to a finished run
- rollback: the pointer back to an earlier run
- weekly: all of it
"""
