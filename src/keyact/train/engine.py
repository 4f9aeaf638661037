"""The one training loop: Keras' own ``fit``, epochs that can be resumed, averaged weights.

A batch is a pure function of epoch and step, and all that a step changes (weights, optimiser,
random states) is in the checkpoint; so a run that was stopped and resumed gives what one
without a break gives. Works with the Keras backends TensorFlow, JAX and torch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError
from keyact.replacing import replacing
from keyact.train.config import TrainConfig
from keyact.train.feed import BatchSource, feed
from keyact.train.layers import set_frozen
from keyact.train.logs import Logs
from keyact.train.memory import keep_memory
from keyact.train.objective import Loss, objective, top1
from keyact.train.optimizer import adamw, iterations, schedule
from keyact.train.precision import fast_precision, jit
from keyact.train.run import RunFolder

if TYPE_CHECKING:
    import keras

REDRAWN = 30.0  # seconds between two pictures of the curves: an epoch may be shorter than drawing

Validate = Callable[["keras.Model"], Mapping[str, float]]


@dataclass
class History:
    """What came of a training.

    Attributes
    ----------
    rows : per epoch ``epoch``, ``seconds``, ``rate``, ``loss``, ``top1``, ``val_...``.
    best_epoch : the epoch whose weights the network has now, counted from 1.
    best : ``config.monitor`` at that epoch.
    stopped : whether patience ended it before its last epoch.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: float | None = None
    stopped: bool = False


def prepare(config: TrainConfig) -> str:
    """Seed, set the precision, keep memory. To be called before the network is built.

    Returns
    -------
    The Keras dtype policy: ``auto`` takes bfloat16 where the hardware computes in it.
    """
    import keras

    keep_memory()
    keras.utils.set_random_seed(config.seed)
    precision: str = config.precision
    if precision == "auto":
        precision = fast_precision()
    policy = precision if precision == "float32" else f"mixed_{precision}"
    keras.config.set_dtype_policy(policy)
    return policy


def fit(
    net: keras.Model,
    batches: BatchSource,
    validate: Validate,
    config: TrainConfig,
    run: RunFolder,
    *,
    loss: Loss | None = None,
    metric: Loss | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> History:
    """Train a network; at the end it has the weights of its best epoch.

    Parameters
    ----------
    net : inputs by the names in ``Batch.inputs``, logits (N, C) out; built after `prepare`. The
        layers of its part named ``features``, if there is one, learn at ``backbone_rate``.
    validate : from the network, with averaged weights in it, to figures; ``loss`` and so on are
        logged as ``val_loss``. ``config.monitor`` must be one of them.
    loss : `keyact.train.objective.objective` when not given.
    metric : what is logged of the training batches; their top-1 when not given.
    resume : go on from the checkpoint in ``run``.
    on_epoch : called with each row of the log.

    Raises
    ------
    InputError : no such figure to monitor, the loss is not finite, or
        the checkpoint is of another network.
    """
    with closing(Logs(config, run)) as logs:
        state = _State(net, validate, config, run, logs, on_epoch)
        first = state.restore() if resume else 0
        loss = loss or objective(config, batches.classes)
        measure = metric or top1(batches.classes)
        bounds = [0, *sorted(config.unfreeze), config.epochs]
        for phase, (start, end) in enumerate(pairwise(bounds)):
            if first >= end or state.history.stopped:
                continue
            set_frozen(net, config.unfreeze[start] if start else config.freeze)
            rate = schedule(config, batches.steps, start)
            net.compile(
                optimizer=adamw(net, config, rate, batches.steps),
                loss=loss,
                weighted_metrics=[measure],
                jit_compile=jit(config),
            )
            net.optimizer.build(net.trainable_variables)
            if not state.history.rows:
                state.check_monitor(measure)
            state.begin(phase, rate)
            with feed(batches, max(first, start), config.workers) as fed:
                net.fit(
                    fed,
                    shuffle=False,
                    steps_per_epoch=batches.steps,
                    initial_epoch=max(first, start),
                    epochs=end,
                    verbose=0,
                    callbacks=[state.callback()],
                )
            # Keras leaves averaged weights in the network; the next phase goes on from the others.
            state.put_back()
    if run.weights.exists():
        net.load_weights(run.weights)
    return state.history


class _State:
    """What lasts from epoch to epoch: log, best weights, patience, checkpoint."""

    def __init__(
        self,
        net: keras.Model,
        validate: Validate,
        config: TrainConfig,
        run: RunFolder,
        logs: Logs,
        on_epoch: Callable[[dict[str, float]], None] | None,
    ) -> None:
        self.history = History()
        self._net, self._validate, self._config, self._run = net, validate, config, run
        self._logs, self._on_epoch = logs, on_epoch
        self._phase = self._epoch = 0
        self._rate: Any = None
        self._own: list[NDArray[Any]] = []
        self._saved: dict[str, NDArray[Any]] = {}
        self._saved_phase = -1
        self._began = 0.0
        self._drawn = float("-inf")

    def begin(self, phase: int, rate: Any) -> None:
        """The optimiser of a phase is there; give it its state if the checkpoint has it."""
        self._phase, self._rate = phase, rate
        if self._saved_phase == phase:
            _assign(self._net.optimizer.variables, self._saved, "optimizer", self._run)
        self._saved_phase = -1
        self._saved = {}

    def check_monitor(self, measure: Loss) -> None:
        """Say that there is no such figure now, not after a whole epoch."""
        monitor = self._config.monitor
        known = ["epoch", "seconds", "rate", "loss", getattr(measure, "__name__", "")]
        # There is always the default, so that a look at all of val would be for nothing.
        if monitor not in (*known, TrainConfig().monitor):
            _refuse_unknown(monitor, [*known, *self._validated()])

    def _validated(self) -> dict[str, float]:
        random = [_numpy(v) for v in _others(self._net)]
        found = {f"val_{name}": float(value) for name, value in self._validate(self._net).items()}
        for variable, was in zip(_others(self._net), random, strict=True):
            variable.assign(was)  # a validation that drew random numbers must not be felt
        return found

    def callback(self) -> keras.callbacks.Callback:
        import keras

        state, config = self, self._config

        class Epochs(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                state._began = time.perf_counter()
                state._epoch = epoch

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                # torch does not draw dropout from a state that the checkpoint holds, so each
                # epoch begins from the seed. With TensorFlow that would be a second lost in
                # every epoch: a new seed makes it build the step's kernels anew.
                if batch == 0 and keras.backend.backend() == "torch":
                    keras.utils.set_random_seed((config.seed + state._epoch) % 2**31)

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                state._end_epoch(epoch, dict(logs or {}))
                self.model.stop_training = state.history.stopped

        return Epochs()

    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        import keras

        net, config, history = self._net, self._config, self.history
        if not np.isfinite(logs.get("loss", 0.0)):
            raise InputError(
                f"epoch {epoch + 1}: the loss is {logs['loss']}; lower the rate (now {config.rate})"
            )
        row = {
            "epoch": float(epoch + 1),
            "seconds": round(time.perf_counter() - self._began, 3),
            "rate": float(np.asarray(self._rate(iterations(net)))),
            **{name: float(value) for name, value in logs.items()},
        }
        self._own = [_numpy(v) for v in net.trainable_variables]
        net.optimizer.finalize_variable_values(net.trainable_variables)
        if keras.backend.backend() == "jax":  # they are the optimiser's arrays, which
            for variable in net.trainable_variables:  # a prediction would give away
                variable.assign(_numpy(variable))
        row |= self._validated()
        _refuse_unknown(config.monitor, row)
        if _better(row, history, config):
            history.best, history.best_epoch = row[config.monitor], epoch + 1
            with replacing(self._run.weights) as part:
                net.save_weights(part)
        self.put_back()
        history.rows.append(row)
        patience = config.patience
        history.stopped = patience is not None and epoch + 1 - history.best_epoch >= patience
        last = history.stopped or epoch + 1 == config.epochs
        draw = last or time.monotonic() - self._drawn > REDRAWN
        self._run.write_log(history.rows, draw)
        if draw:
            self._drawn = time.monotonic()
        self._checkpoint(epoch + 1)
        self._logs.write(row)
        if self._on_epoch is not None:
            self._on_epoch(row)

    def put_back(self) -> None:
        """The step's own weights, in place of the averaged ones."""
        for variable, value in zip(self._net.trainable_variables, self._own, strict=False):
            variable.assign(value)

    def _checkpoint(self, epoch: int) -> None:
        history = self.history
        meta = {
            "epoch": epoch,
            "phase": self._phase,
            "rows": history.rows,
            "best_epoch": history.best_epoch,
            "best": history.best,
            "stopped": history.stopped,
        }
        arrays = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
        arrays |= {
            f"{part}/{i}": _numpy(variable)
            for part, variables in (
                ("net", self._net.variables),
                ("optimizer", self._net.optimizer.variables),
            )
            for i, variable in enumerate(variables)
        }
        with replacing(self._run.checkpoint) as part, part.open("wb") as file:
            save: Any = np.savez
            save(file, **arrays)

    def restore(self) -> int:
        """Epochs that are done, from the checkpoint; the network gets its weights."""
        try:
            with np.load(self._run.checkpoint, allow_pickle=False) as file:
                self._saved = dict(file)
            meta = json.loads(self._saved.pop("meta").tobytes())
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{self._run.checkpoint}: cannot be read ({error})") from None
        _assign(self._net.variables, self._saved, "net", self._run)
        self._saved_phase = int(meta["phase"])
        self.history = History(meta["rows"], meta["best_epoch"], meta["best"], False)
        patience = self._config.patience
        done = int(meta["epoch"])
        self.history.stopped = patience is not None and done - meta["best_epoch"] >= patience
        return done


def _better(row: Mapping[str, float], history: History, config: TrainConfig) -> bool:
    """Whether an epoch is better than the best so far; of equal ones that of less val loss."""
    if history.best is None:
        return True
    value, best = row[config.monitor], history.best
    if value == best:
        before = history.rows[history.best_epoch - 1].get("val_loss", -np.inf)
        return row.get("val_loss", np.inf) < before
    return value < best if config.minimise else value > best


def _refuse_unknown(monitor: str, known: Collection[str]) -> None:
    if monitor not in known:
        raise InputError(
            f"monitor: there is no {monitor!r}; known are "
            f"{', '.join(name for name in known if name not in ('epoch', 'seconds'))}"
        )


def _others(net: keras.Model) -> list[Any]:
    """Random states and statistics: what a step changes but the optimiser does not."""
    trained = {id(v) for v in net.trainable_variables}
    return [v for v in net.variables if id(v) not in trained]


def _assign(
    variables: list[Any], saved: Mapping[str, NDArray[Any]], part: str, run: RunFolder
) -> None:
    arrays = [saved[name] for name in saved if name.startswith(f"{part}/")]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise InputError(f"{run.checkpoint}: is of another network; take another --name")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _numpy(variable: Any) -> NDArray[Any]:
    from keras import ops

    return np.array(ops.convert_to_numpy(variable))
