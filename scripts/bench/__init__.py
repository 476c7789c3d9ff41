"""Benchmarks by one command: `python -m scripts.bench allocator`, `ranker` or `questions`.

Modules, in the order in which figures flow:

- instances: seeded problems of three shapes and any size
- peers: general solvers and rules of thumb on the same problem
- results: figures in files that only grow, and tables
- allocator_runs: one run of a peer at a time, in a process of its own
- allocator_tables: the tables of the allocator's benchmark
- bench_allocator: the allocator next to its peers, by size
- bench_questions: answers on a sample, their seconds and their errors
- ranker_figures: what the ranker's benchmark keeps
- ranker_trials: the ranker on halves of public trials, next to baselines and other libraries
- ranker_bandit: what random logs say another policy is worth
- ranker_exploration: strategies that learn from their own decisions alone, on two markets
- ranker_market: the whole system on a market, next to every baseline in the same allocator
- ranker_speed: training and scoring by the clock
- ranker_tables: the tables of all that
- bench_ranker: the ranker's benchmark, part by part
- __main__: the command: a benchmark by its name
"""
