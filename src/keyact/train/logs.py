"""TensorBoard and MLflow."""

from __future__ import annotations

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
            try:
                import mlflow
            except ImportError:
                raise InputError("mlflow: not installed; pip install 'keyact[mlflow]'") from None
            mlflow.set_tracking_uri(config.mlflow)
            mlflow.set_experiment("keyact")
            mlflow.start_run(run_name=run.name)
            flat = config.model_dump(mode="json")
            mlflow.log_params({key: str(value)[:250] for key, value in flat.items()})
            self._flow = mlflow

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
