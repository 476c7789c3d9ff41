"""From tables to scores: what one contact is worth, in natural units, calibrated.

Modules, in the order in which data flows:

- disk: where everything that lasts is written, renamed, linked and removed
- files: where every reader opens JSON and Parquet, and arrays in files
- normal: quantiles of the normal distribution
- columns: columns as other programs write them, in one form
- hashed: ids and texts as numbers, to count and compare many
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
- profiles: what tables, logs and scores look like, and how far two weeks are apart

Axes: U users (listeners in the market), R rows (of logs: a decision each), A actions, B = A + 1 arms (`none` last),
O outcomes, C channels of the network, K members of the ensemble, M attribute values of actions, V values of one
attribute, D columns of a design matrix, W features (columns of `Features.wide`), I numeric inputs, G categorical
columns, F folds of users.
These letters mean the same in every file; each file's legend names those that it uses. Any other letter means one
thing within its folder; the letter N means the list that the legend names, and lower case some of the upper case.
"""
