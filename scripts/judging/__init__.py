"""What a learned policy is compared with, and what it would do on rows that were kept apart.

Modules:

- reference_policies: the policies that the learned one is compared with
- rehearsal: a policy on held-out rows, by the model and by every baseline
"""
