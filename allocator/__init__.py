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
- constraints: constraints compiled to linear rows
- problem: the policy compiled over the users of the scores
- users: the users as arrays, read once
- solve: prices, core, the exact oracle and the greedy baseline
- assign: contacts that are not chosen: pinned, explored, fallbacks
- infeasible: why constraints contradict each other, and the cheapest repairs
- lexicographic: several objectives in order, one after the other
- certify: what was achieved, recounted, and how near it is to the best possible
- formats: what the JSON files of an allocation hold
- allocation: the dataset of contacts
- audit: the independent judge
- allocate: the whole way, from scores and a policy to an audited allocation
- report: one page for people

Arrays carry their axes as suffixes: `usage_NR` has a line per item and a column per row. In all files

    U  users
    A  actions, in the order of the catalogue
    P  planes: a metric's mean or its standard error
    R  rows: sides of constraints as g(x) <= limit
    S  user classes: users alike in every filter of the policy
    C  contact caps
    K  contacts of a slate, padded with -1
    Q  asks: what contacts ask for beside or before them
    L  slots
    N  the items of the list that the file's legend names

Any other letter means one thing within its folder, and a lower case letter some of what the upper case stands for.
"""
