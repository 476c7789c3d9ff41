"""The evaluation of a model on users it never saw, next to baselines.

Modules, in the order in which data flows:

- off_policy: IPS, SNIPS, doubly robust and SWITCH values of a policy, from logs of another one
- objective: the outcome, or weighted sum of outcomes, by which policies are judged
- qini: Qini and AUUC, the ranking of users by the effect of an action
- aipw: doubly robust effects of contacts, row by row
- calibration: predicted against realised effects: slopes and groups
- reliability: the known part of an effect's variance between users, action by action
- budget_curves: the multi-armed Qini, the value of a score at every budget
- baselines: best fixed action, average effects, response model, ridge T- and S-learner
- boosting: boosted trees as S- and T-learner, an optional extra
- peers: learners of other libraries, an optional extra
- learners: what the model and each baseline say about test users
- records: the evaluation beside a model, as it is written and read
- report: policies, Qini and calibration on test users, and a table for the terminal
- training: the evaluation that stands beside a trained model
- held_out: the whole evaluation, on users who did not train
- week: outcomes of users after a day, and covariates before it
- experiment_plan: how many listeners and weeks an effect needs
- lift: held out at random against not, what could be found, and whether to ship
- allocated: the off-policy value of an allocation, from held-out logs
- trial_benchmark: learners side by side on the held-out half of a trial
- closed_loop: models that learn from their own decisions, week after week, on the market
"""
