"""One thin file per command: a plain, tested `run(settings)` under a one-line main.

Modules; first what every command stands on, then the commands in the order in which a week runs:

- settings: the whole configuration, typed, frozen and checked
- overrides: the words of a command line, translated and checked
- command: composition, logging, progress and exit statuses
- preflight: the policy read early, before a model is trained
- stage: folders that are whole or absent, with manifests
- make_market: a synthetic market with known truth
- prepare: tables to logs
- hillstrom: a public e-mail trial to logs
- reliability: what is known of the differences between users, in words
- train: logs to a calibrated model
- score: users to scores
- pace: how far an allocation is, and how long it may still take
- allocate: scores and a policy to an audited allocation
- rivals: the policies that the learned one is compared with
- rehearsal: a policy on held-out rows, by the model and by every baseline
- pages: results as one HTML file
- figures: what several pages show
- evaluation_page: the page about a model and its policy
- evaluate: a model and the policy it leads to, judged on users it never saw
- readout_page: the page about a week that ran
- readout: the holdout against everybody else, and whether to ship
- judge: an allocation, valued from held-out logs
- instances: seeded problems of three shapes and any size
- peers: general solvers and rules of thumb on the same problem
- bench_runs: one run of them at a time, in a process of its own
- bench_results: figures in files that only grow, and tables
- bench_tables: the tables of the allocator's benchmark
- bench_allocator: the allocator next to its peers, by size
- bench_ranker_figures: what the ranker's benchmark keeps
- bench_ranker_trials: the ranker on halves of public trials, next to baselines and other libraries
- bench_ranker_bandit: what random logs say another policy is worth
- bench_ranker_exploration: strategies that learn from their own decisions alone, on two markets
- bench_ranker_market: the whole system on a market, next to every baseline in the same allocator
- bench_ranker_speed: training and scoring by the clock
- bench_ranker_tables: the tables of all that
- bench_ranker: the ranker's benchmark, part by part
- bench: benchmarks by name, and their part of the README
- regret: all of them, judged on a synthetic market's truth
- report: a run as one page for people
- publish: the pointer to a finished run
- rollback: the pointer back to an earlier run
- tracking: the record of a week in MLflow
- weekly: all of it
"""
