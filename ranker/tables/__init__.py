"""The tables that a company keeps, read, validated and joined to logs.

Modules, in the order in which data flows:

- schema: what the tables hold: features with their ranges, outcomes with their attribution windows
- settings: what can be chosen when tables are prepared
- check: validation of every file, all problems counted by file and column
- join: the point-in-time join of decisions, features and outcomes
- prepare: tables to logs, in ranges of users
- history: exposures to what users have received before, beside their scores
"""
