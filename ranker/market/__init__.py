"""A synthetic market whose truth is known, so that regret against the best possible can be measured.

Modules, in the order in which data flows:

- settings: every number of the market, validated
- catalogue: products, messages and slots as actions
- listeners: who there is, what is observable about them, and how that moves from week to week
- answers: how a listener answers an offer: the expected outcome, given everything or given what is observable
- decisions: how the logged decisions were made, and the exact chance of each
- outcomes: what came of a decision, and when it became known
- week: one week of it, whoever decides
- world: the whole market written as tables, users and truth, in chunks of listeners
- truth: what is true of a market that was written: its logging policy, and contacts side by side
"""
