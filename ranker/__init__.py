"""From tables to scores: what one contact is worth, in natural units, calibrated.

Modules, in the order in which data flows:

- files: where every reader opens JSON and Parquet, and arrays in files
- normal: quantiles of the normal distribution
- columns: columns as other programs write them, in one form
- catalogue: the actions in their fixed order, and what is known of them
- market: a synthetic market whose truth is known, to test everything after it
- tables: readers of users, exposures and outcomes, and the point-in-time join
- contact_history: what logs know of a user's other contacts
- log_schema: which columns logs have
- logs: logged decisions, the training data
- trials: public randomised trials as logs
- features: numeric and categorical columns as tensors; missing and unseen values are normal
- model: ValueNet, its training and its calibration
- evaluate: off-policy value, Qini and the baselines
- predict: scores for every user, in streams
- scores: the dataset handed to the allocator
"""
