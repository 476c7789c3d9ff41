"""A synthetic market whose truth is known, so that regret against the best possible can be measured.

Modules, in the order in which data flows:

- settings: every number of the market, validated
- catalogue: products, messages and slots as actions
- listeners: the population, its observable features, and how these change from week to week
- answers: expected outcomes of every action, given everything or given the observable features
- decisions: the logging policy, and the exact propensity of each decision
- outcomes: outcomes of decisions, and the day on which each is recorded
- week: one week of it, whoever decides
- given_weeks: weeks that somebody else decided, by their exposures
- world: the whole market written as tables, users and truth, in chunks of listeners
- truth: the truth of a market on disk: its logging policy, and contacts side by side
- next_week: the market a week later, after an allocation
"""
