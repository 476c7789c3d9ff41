"""What is written of a run: folders, the pointer to the published one, and the record of a week.

Modules, in the order in which a run is made:

- policy_check: the policy read early, before a model is trained
- stage: folders that are whole or absent, with manifests
- locks: one process at a time at a file or folder
- pointer: the pointer to the finished, audited run
- tracking: the record of a week in MLflow
"""
