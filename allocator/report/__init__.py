"""One self-contained page that a product manager reads after every run.

Modules, in the order in which data flows:

- records: what is shown of a model's evaluation, and of policies on the truth
- policy_used: the policy of the run beside its file, and the edits of the run
- last_week: the allocation before this one, as far as it can still be read
- collect: everything the page shows, counted in one stream over the scores and the contacts
- sentences: what happened, a plain sentence each
- rules: the policy's own rules in words, and what came of what was promised
- rule_table: every rule as written, and what came of it
- weeks: last week beside this week
- charts: the figures
- page: the HTML file
"""
