"""Public trials as logs, for benchmarks and first steps.

Modules:

- adapters: what their adapters share
- hillstrom: a public e-mail trial as logs and users
- promotion: a public trial of a promotion as logs
- charitable: a public trial of fund-raising letters as logs
- open_bandit: a public sample of recommendations under two policies
"""
