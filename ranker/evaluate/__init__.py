"""How good a model is on users it never saw, next to the baselines it must earn its place against.

Modules, in the order in which data flows:

- off_policy: the value of a policy from logs of another one
- qini: how well a score ranks users by the effect of an action
- baselines: best fixed action, average effects, response model, ridge T-learner
- report: all of it as evaluation.json, and as a table for the terminal
- allocated: what an allocation would have earned, from held-out logs
- trial: a model on the held-out half of a randomised trial, next to ridge and to one action for all
"""
