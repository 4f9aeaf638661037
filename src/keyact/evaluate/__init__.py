"""How good a model is: figures with confidence, robustness, cost, comparison, explanations.

    predictions = predict_dataset(model, dataset, find_people(photos_of(dataset)))
    save_evaluation("evaluation", evaluate(predictions), predictions)

Everything is computed from `Predictions`, whoever made them.
"""

from __future__ import annotations

from keyact.evaluate.metrics import expected_calibration_error, figures
from keyact.evaluate.predict import photos_of, predict_dataset
from keyact.evaluate.predictions import Predictions, load_predictions
from keyact.evaluate.report import Evaluation, evaluate, save_evaluation
from keyact.evaluate.sequences import predict_sequences
from keyact.evaluate.significance import Interval, McNemar, bootstrap, mcnemar

__all__ = [
    "Evaluation",
    "Interval",
    "McNemar",
    "Predictions",
    "bootstrap",
    "evaluate",
    "expected_calibration_error",
    "figures",
    "load_predictions",
    "mcnemar",
    "photos_of",
    "predict_dataset",
    "predict_sequences",
    "save_evaluation",
]
