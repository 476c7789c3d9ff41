"""Gates between a finished week and its publication: each is asked, every refusal is told, and what they found is kept.

Modules, in the order in which a week is judged:

- listeners: whose contacts changed, and which values of a segment have listeners, streamed
- week_seen: what a week's folder tells of itself
- drifted: how far its data is from that of another week
- gate: what a gate is
- own: gates that ask the week alone
- beside_last: gates that set its certificate beside that of the last published week
- whom: gates about listeners, and rules that ran out
- data: gates that set its outcomes, rows, features and scores beside those of the last published week
- learned: gates that set its model beside the one before
- judged: all of them, asked
"""
