"""ValueNet: from logged decisions to a calibrated effect of every action on every user, with its standard error.

Modules, in the order in which data flows:

- settings: shape, shrinkage and training, validated
- splits: which users train, calibrate and test
- examples: logged decisions as arrays, and their weights
- losses: link functions and losses per kind of outcome
- network: user tower, base heads, uplift heads from action embeddings
- calibration: how averages and slopes turn raw effects into scores
- ensemble: the members together, raw and calibrated
- fit: trains the members; the only module that imports lightning
- calibrate: estimates averages and slopes from users a member did not see
- artifact: the model on disk, with a digest
"""
