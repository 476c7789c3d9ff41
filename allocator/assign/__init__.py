"""Contacts that are given, not chosen by the optimiser, and how likely every contact was.

Modules:

- exploration: users who get one of their eligible actions at random
- propensity: how likely each contact was, over all ways to it
- preassigned: pinned contacts and those of exploration, and fallbacks once all others are decided
"""
