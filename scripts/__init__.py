"""One thin file per command: a plain, tested `run(settings)` under a one-line main.

Packages, and then the commands in the order in which a week runs:

- cli: the words of a command line as settings, progress and exit statuses
- formats: what the JSON files of commands hold, one frozen model each
- served: the registered model behind MLflow's interfaces
- gates: what a week must show before it is published
- runs: folders that are whole or absent, the pointer to the published one, and its record
- stores: publishing on object stores
- pages: results as one HTML file each
- judging: what policies are compared with, and rehearsed on
- console: the product manager's page
- crashes: a week stopped at every write
- schedulers: what calls the weekly run without a person
- bench: benchmarks by name, and their part of the documents
- library: offermix for notebooks, as one command, and as a wheel
- init: a configuration of one's own, begun
- check_policy: everything that is wrong with a policy, at once
- diff_policy: what differs between two policies, in sentences
- policy_schema: the JSON schema of policy files, for editors
- make_market: a synthetic market with known truth
- prepare: tables to logs
- hillstrom: a public e-mail trial to logs
- train: logs to a calibrated model
- score: users to scores
- allocate: scores and a policy to an audited allocation
- what_if: a changed policy next to the one it was made from
- explain: why a listener gets this, or a product so few contacts
- seek: which value of a field reaches a goal
- frontier: what one thing costs in another
- evaluate: a model and the policy it leads to, judged on users it never saw
- exposures: a week's decisions as rows of exposures, for the logs of later weeks
- plan_experiment: how many listeners and weeks an effect needs
- readout: the holdout against everybody else, and whether to ship
- judge: an allocation, valued from held-out logs
- rehearse: the week's policy on users who did not train the model, promised and as their logs say
- regret: all of them, judged on a synthetic market's truth
- left_out: who gets no offers, and why
- drift: how far a week's data is from that of the last published week
- report: a run as one page for people
- publish: the pointer to a finished run
- rollback: the pointer back to an earlier run
- publications: who published what, when and why, verified
- promote: a version of the registered model made the champion, by hand
- demote: the champion before it put back
- weekly: all of it
- audit_dependencies: what the advisory database knows of pinned packages
- faults: a tiny week stopped at every write

Axes: U users, R rows (of logs), A actions, B = A + 1 arms (`none` last), O outcomes, S user classes, P planes (a
metric's mean or stderr), K contacts of a slate.
These letters mean the same in every file; each file's legend names those that it uses. Any other letter means one
thing within its folder; the letter N means the list that the legend names, and lower case some of the upper case.
"""
