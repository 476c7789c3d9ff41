"""The registered model: scores, and decisions for users who arrive between two runs, behind MLflow's own interfaces.

Modules, in the order in which data flows:

- files: the files of a registered model, with their digests
- inputs: what the model takes, as MLflow states it, and users who are made up
- offermix_ranker: the Python model that MLflow loads
- model_code: the code that MLflow keeps beside the files and runs on load
"""
