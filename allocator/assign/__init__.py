"""Contacts that are assigned, not chosen by the optimiser, and how likely every contact was.

Modules:

- exploration: users who get one of their eligible actions at random
- propensity: the marginal propensity of each contact, and the counterfactual slates of users who explore
- preassigned: pinned contacts and those of exploration, before anything is chosen
- fallback: contacts for users who were chosen nothing, once all others are decided
"""
