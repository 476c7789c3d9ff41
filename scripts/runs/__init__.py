"""What is written of a run: folders, the pointer to the published one, and the record of a week.

Modules, in the order in which a run is made:

- week: the stages of a week, and the settings of each
- trial: which runs try another policy, and are not published
- run_folder: the folder of a run: its name, what it begins with
- policy_check: the policy read early, before a model is trained
- summary: what a call of a week came to, gathered for summary.json
- week_told: the log and the summary of a call, however it ends
- clock: when something was done
- published: the pointer and its history, read
- stage: folders that are whole or absent, with manifests
- digests: of what a stage is made from
- locks: one process at a time at a file or folder
- questions: a question of a policy, and the file of its answer
- made_from: the scores that an allocation was made from
- report_sources: what a run offers to its report, and which allocation stands before it
- pointer: the pointer to the finished, audited run
- champion: which of two models scores a week
- week_record: what is recorded of a week, read from its folder
- tracking: the record of a week in MLflow
- history: the weeks as one MLflow run, a point each
- metrics: the figures that MLflow charts
- params: settings and names as MLflow takes them
- mlflow_moved: artifacts of a runs folder that was moved
- mlflow_store: where MLflow keeps its records
- mlflow_models: a model as MLflow keeps it: logged, registered, under an alias
- mlflow_entries: what one MLflow run holds
"""
