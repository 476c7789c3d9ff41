"""From a problem to prices, and from prices to an integral allocation that keeps every hard constraint.

Modules, in the order in which data flows:

- settings: what an engineer may tune
- kernel: functions that numba compiles, and where that is kept
- unowned_arrays: arrays inside kernels without reference counts
- usage: what contacts use of the rows, by the rows that they touch
- slates: one user's exact problem, compiled
- device: the dual evaluation in torch, for GPUs
- dual: one dual evaluation, over all users at given prices
- near_ties: slates that lose little against the best one
- alike: users who are alike as one who stands for many
- prices: the dual, minimised
- untie: many users who tie, told apart by a little noise
- mathprog: linear and integer programmes handed whole to OR-Tools
- steps: limits that a solver's tolerance cannot break
- lattice: shares that must be met nearly exactly, as whole counts
- local_search: few users exchange slates, so that sums fit their bounds
- core: the users who nearly tie, decided by OR-Tools
- solution: what the solvers return, and why they refuse
- by_prices: the whole way by prices: price, fix, core
- exact: the whole problem as one integer programme, the oracle
- prune: contacts worth nothing that no rule asks for
- margins: each contact against the best alternative
- greedy: the baselines, by value and by value per cost
- solver: chooses the way
"""
