"""Why constraints contradict each other, and what would end it.

Modules, in the order in which they are asked:

- counting: what simple counting can tell before pricing
- causes: what rules for one user have to do with a conflict
- repairs: which bounds, moved as little as can be, end a conflict
- diagnosis: a smallest conflicting set, its causes and the cheapest repairs
"""
