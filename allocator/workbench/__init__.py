"""Questions of a policy, answered within seconds: what an edit changes, which bound reaches a goal, what a trade-off looks like.

Answers come from a stratified sample at prices of its own, with the error of sampling, or in full from real allocations. Nothing here
publishes, prints or keeps state that others see.

Modules, in the order in which data flows:

- answers: what the JSON files of answers hold
- sample: a stratified sample of the users of some scores, kept as a small scores dataset
- sums: everything that is summed of contacts, by user, and the error of such sums over a sample
- priced: a policy's prices and sums on a sample
- telling: progress of an allocation of all users
- session: one sample, and the policies that were priced on it
- totals: what a policy gives on a sample, what two differ by, and with which error
- in_full: the same from allocations of all users
- attribution: which edit did what
- measures: what questions are about, by name
- reasons: what keeps listeners from a contact
- sentences: answers in words
- what_if: two policies compared
- robust: whether an answer holds if the scores are less sure, and what rules cost in all
- seek: which value of a field reaches a goal
- least: the same value with the least of something
- goals: goals as people write them
- wider: how much wider a bound must be
- explain: why one listener gets this
- product: why some offers get few contacts
- sweep: the bounds that a frontier goes through
- budget_path: the whole curve of one budget
- frontier: what one thing costs in another

Axes: U users of the sample, H strata, F sums, R rows, A actions, P planes, S user classes, K contacts of a slate.
"""
