"""TensorBoard and MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from keyact.errors import InputError
from keyact.train.config import TrainConfig
from keyact.train.run import RunFolder


class Logs:
    """TensorBoard and MLflow, where they are wanted and installed."""

    def __init__(self, config: TrainConfig, run: RunFolder) -> None:
        self._board: Any = None
        self._flow: Any = None
        if config.tensorboard:
            try:
                from tensorboard.summary import Writer
            except ImportError:
                pass
            else:
                self._board = Writer(str(run.tensorboard))
        if config.mlflow is not None:
            self._flow = _told(config.mlflow, run.name, config)

    def write(self, row: Mapping[str, float]) -> None:
        step = int(row["epoch"])
        figures = {name: value for name, value in row.items() if name != "epoch"}
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()
        if self._flow is not None:
            self._flow.log_metrics(figures, step=step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
        if self._flow is not None:
            self._flow.end_run()


def _told(address: str, name: str, config: TrainConfig) -> Any:
    """MLflow with a run begun in it."""
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise InputError("mlflow: not installed; pip install 'keyact[mlflow]'") from None
    if "://" not in address or address.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.17 refuses folders
    try:
        mlflow.set_tracking_uri(address)
        mlflow.set_experiment("keyact")
        mlflow.start_run(run_name=name)
        flat = config.model_dump(mode="json")
        mlflow.log_params({key: str(value)[:250] for key, value in flat.items()})
    except MlflowException as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"mlflow={address}: {reason}; give a folder or a server's address (http://...)"
        ) from error
    return mlflow
