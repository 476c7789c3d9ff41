"""How good a model is on users it never saw, next to the baselines it must earn its place against.

Modules, in the order in which data flows:

- off_policy: the value of a policy from logs of another one
- objective: one outcome or a weighted sum of them, as what is judged
- qini: how well a score ranks users by the effect of an action
- aipw: what contacts added, row by row and doubly robust
- calibration: predicted against realised effects, slopes and groups
- reliability: what is known of the differences between users, action by action
- budget_curves: the multi-armed Qini, a score's worth at every budget
- baselines: best fixed action, average effects, response model, ridge T- and S-learner
- boosting: boosted trees as S- and T-learner, an optional extra
- peers: learners of other libraries, an optional extra
- learners: what the model and each baseline say about test users
- records: the evaluation beside a model, as it is written and read
- report: policies, Qini and calibration on test users, and a table for the terminal
- training: the evaluation that stands beside a trained model
- held_out: the whole evaluation, on users who did not train
- week: what became of users after a day, and what was known of them before
- lift: held out at random against not, what could be found, and whether to ship
- allocated: what an allocation would have earned, from held-out logs
- trial_benchmark: learners side by side on the held-out half of a trial
- closed_loop: weeks that learn from their own decisions, on the market
"""
