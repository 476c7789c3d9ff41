"""The code that MLflow keeps beside the files of the registered model and runs on load: it names the model of the installed package."""

from mlflow.models import set_model

from scripts.served.offermix_ranker import OffermixRanker

set_model(OffermixRanker())
