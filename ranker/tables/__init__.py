"""A company's tables: read, validated and joined to logs.

Modules, in the order in which data flows:

- schema: features with their ranges, outcomes with their attribution windows
- settings: settings of the preparation
- check: validation of every file, all problems counted by file and column
- join: the point-in-time join of decisions, features and outcomes
- prepare: tables to logs, in ranges of users
- history: contact history beside scores, from exposures
"""
