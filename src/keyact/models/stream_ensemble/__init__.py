"""stream-ensemble: several networks on different streams, trained side by side, as one network.

Fusing networks of joints, bones and motions is what 2s-AGCN (Shi et al., CVPR 2019) and its
successors report. Each member has its own weights and its own loss, so it learns as it would
alone; the answer is the mean of their logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import keras
from keras import layers, ops

from keyact.errors import InputError
from keyact.models.sequence_parts import TRAINING, clip_input
from keyact.sequences import Features

DEFAULTS = TRAINING
STREAMS = ("joint", "bone", "joint_motion", "bone_motion", "score")
MEMBERS = ("ddnet", "bigru", "tcn")
"""A network and, behind a colon, its streams; all without one.

These learn soon, from few recordings, and are cheap; `benchmarks/temporal.py` compares networks.
"""


@keras.saving.register_keras_serializable(package="keyact")
class MeanLogits(layers.Layer):
    """Logits (N, K, labels) to (N, labels)."""

    def call(self, x: Any) -> Any:
        return ops.mean(x, 1)


def build(
    labels: int, features: Features, *, members: Sequence[str] = MEMBERS, dropout: float = 0.4
) -> keras.Model:
    """See `keyact.models`.

    Parameters
    ----------
    members : networks by name, such as ``stgcnpp:bone+bone_motion``.

    Raises
    ------
    UnknownNameError, InputError : no such network or stream.
    """
    from keyact.models import get_model

    inputs = clip_input(features)
    answers = []
    for place, member in enumerate(members):
        name, _, streams = str(member).partition(":")
        info = get_model(name)
        if info.kind != "sequence" or name == "stream-ensemble":
            raise InputError(f"stream-ensemble: {name} cannot be a member of it")
        chosen = tuple(streams.split("+")) if streams else None
        net = import_module(info.module).build(
            labels, features, streams=chosen, dropout=dropout, **info.options
        )
        net.name = f"member{place}"
        answers.append(layers.Reshape((1, labels))(net(inputs)))
    if not answers:
        raise InputError("stream-ensemble: has no members")
    each = layers.Concatenate(axis=1, name="members")(answers) if len(answers) > 1 else answers[0]
    return keras.Model(inputs, MeanLogits(name="logits")(each), name="stream_ensemble")


def side_by_side(net: keras.Model) -> keras.Model:
    """The same network with the logits of all members (N, K, labels) out: for training."""
    return keras.Model(net.input, net.get_layer("members").output, name=net.name)
