"""The kinds of constraint, each a class with everything that the program must know of it.

Modules, in the order in which data flows:

- base: what a kind says of itself: what it sums, its limits, unit and step, what is wrong with its bounds, and its words
- volume: contacts in scope
- reach: users with at least one contact in scope
- change: contacts in scope against those of the previous allocation
- churn: users who are given something else than in the previous allocation
- total: the sum of a metric or an attribute
- share: some contacts as a part of others
- average: the sum of a metric per contact
- ratio: one sum per another
- tier: what an earlier objective must still be worth
- known: all of them by the word of the file
"""
