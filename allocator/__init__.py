"""From scores to slots, within the rules.

Modules, in the order in which data flows:

- progress: what follows an allocation through its stages
- amounts: numbers as people read them, with units
- policy: the constraint file of the product managers, read strictly
- previous_contacts: what users were given before, by an earlier allocation and in the contact history
- asks: what contacts ask for beside or before them
- scopes: which actions a filter speaks of
- user_classes: users alike in every filter, as classes
- contact_rules: what one user may get
- errors_of_sums: the standard error of a sum of model estimates
- tally: contacts as the sums that every constraint is made of
- constraints: constraints compiled to linear rows
- problem: the policy compiled over the users of the scores
- users: the users as arrays, read once
- solve: prices, core, the exact oracle and the greedy baseline
- assign: contacts that are not chosen: pinned, explored, fallbacks
- chance_constraints: constraints that hold with a probability
- infeasible: why constraints contradict each other, and the cheapest repairs
- lexicographic: several objectives in order, one after the other
- certify: what was achieved, recounted, and how near it is to the best possible
- formats: what the JSON files of an allocation hold
- saved: an allocation's folder, read back as frames
- reopened: an allocation's problem as it was solved, at its prices
- arrivals: what users get who arrive between two runs
- exposures: an allocation as rows of exposures, nothing included
- allocation: the dataset of contacts
- left_out: who gets no offers, which rules take them away, and how evenly segments are exposed
- audit: the independent judge
- allocate: the whole way, from scores and a policy to an audited allocation
- report: one page for people
- workbench: questions of a policy, answered within seconds

Axes: U users, A actions, S user classes, R rows of constraints, P planes (a metric's mean or stderr), L slots, K
contacts of a slate, C contact caps, Q asks, B reach sets.
These letters mean the same in every file; each file's legend names those that it uses. Any other letter means one
thing within its folder; the letter N means the list that the legend names, and lower case some of the upper case.
"""
