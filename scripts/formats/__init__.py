"""What the JSON files of commands hold: one frozen model each, written and read through it.

Below every other folder of scripts, since whoever makes, shows or records a file needs its model.

Modules:

- document: what all of them share: strict reading, and the text that is written
- manifest: manifest.json of a stage's folder
- gates: gates.json beside the stages of a run
- pointer: published.json, and the lines of published_history.jsonl
- drift: drift.json
- run_record: run.json of a week's folder
- summary: summary.json of a week's folder
- readout: readout.json
- regret: regret.json
- rehearsal: rehearsal.json
- plan: plan.json
- advisories: what pip-audit reports, and accepted_advisories.json
- console: draft.json, scenarios.json and proposal.json
"""
