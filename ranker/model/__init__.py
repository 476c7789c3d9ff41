"""ValueNet: from logged decisions to a calibrated effect of every action on every user, with its standard error.

Modules, in the order in which data flows:

- settings: shape, shrinkage and training, validated
- threads: how many torch and linear algebra use, since sums depend on it
- splits: which users train, calibrate and test
- slates: contacts that were decided together, as one trial
- examples: logged decisions as arrays, and their weights
- constant: outcomes that never vary, which are refused
- identified: which effects the logs can tell
- outcome_heads: channels, link functions and losses per kind of outcome
- linear: the linear path in closed form, shrunk as far as the data ask for
- cross_outcome_pooling: partial pooling of the linear paths across outcomes
- surrogate: what is known early in place of outcomes that are not complete yet
- network: linear and deep path to the outcome without contact and the effects of actions
- calibration: how averages and slopes turn raw effects into scores
- carryover: what earlier contacts leave of an effect, by features
- ensemble: the members together, raw and calibrated
- beside: what the other contacts of a slate add, taken off its outcomes
- fit: trains the members; the only module that imports lightning
- fit_calibration: estimates averages and slopes from users a member did not see
- fatigue_and_cannibalisation: how earlier contacts of a user change the effect of the next
- train: the whole way, from logs to a calibrated model
- artifact: the model on disk, with a digest
"""
