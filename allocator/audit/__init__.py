"""The independent judge: recounts a finished allocation from scores, policy and rows, and shares no code with what made it.

It knows the contract alone. What a contact is worth, what a constraint sums, what one user may get and what bound the multipliers
give are all worked out here a second time, the simple way. User ids are never in what it reports.

Modules, in the order in which data flows:

- checks: what is told about each thing that was recounted
- scope: which actions and users a rule speaks of
- each: constraints that hold for every value of a segment or an attribute
- rows: the allocation's rows
- previous_allocation: what users were given before
- contact_history: what users have received on earlier days
- audited_shard: a shard of users with their rows
- users: the rules that hold for each user
- sums: what contacts are worth, and what constraints sum
- kinds: what each kind of constraint sums, and its bounds
- errors: how far sums of model estimates may be off
- certificate_as_read: what the certificate says
- recounts: every constraint recounted, next to what is said of it
- slates: the best that one user could get
- bound: what no allocation can exceed, from the multipliers
- judge: sees every shard once, then says what it found
"""
