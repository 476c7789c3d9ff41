"""From scores to slots, within the rules.

Modules, in the order in which data flows:

- policy: the constraint file of the product managers, read strictly
- past: what users were given before, by an earlier allocation and in the contact history
- asks: what contacts ask for beside or before them
- problem: scores and policy as arrays
- solve: prices, core, the exact oracle and the greedy baseline
- preflight: what simple counting can tell before pricing
- ranges: between which bounds a price holds
- remarks: what must be known of an allocation before its numbers are read
- certificate: what was achieved, recounted, and how near it is to the best possible
- mixture: how likely each contact was, over all ways to it
- given: contacts that are not chosen: pinned, explored, fallen back
- causes: what rules for one user have to do with a conflict
- tiers: several objectives in order, one after the other
- repair: which bounds, moved as little as can be, end a conflict
- diagnose: why constraints contradict each other, and the cheapest repairs
- allocation: the dataset of contacts
- audit: the independent judge
- lock: one process at a time at a file or folder
- publish: a pointer to the finished, audited run
- report: one page for people
"""
