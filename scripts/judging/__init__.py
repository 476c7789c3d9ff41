"""What judges a model, a policy or a week, and what policies are compared with.

Modules; first what several judgements use:

- reference_policies: the policies that the learned one is compared with
- rehearsal: a policy on held-out rows, by the model and by every baseline
- evaluation: a model and its policy on users it never saw
- promises: what selection adds to the week's promise, on users that the model never saw
- shown_contacts: which contacts were really shown
- readout_sources: the scores and the policy that an allocation was made from
- readout_groups: who was held out, explored on or chosen for
- readout: lifts of the chosen over the holdout, and the verdict
- planning: an experiment planned, from logs and earlier readouts
- track_record: how promises of earlier weeks came out
- truth: a synthetic market's truth about the users of the scores
- judged: one policy on that truth
- regret: how far from the best the learned policy is
"""
