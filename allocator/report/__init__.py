"""One self-contained page that a product manager reads after every run.

Modules, in the order in which data flows:

- records: what is shown of a model's evaluation, and of policies on the truth
- collect: everything the page shows, counted in one stream over the scores and the contacts
- sentences: what happened, a plain sentence each
- rules: the policy's own rules in words, and what came of what was promised
- charts: the figures
- page: the HTML file
"""
