"""What a training run on key point sequences is told beside `keyact.train.TrainConfig`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from keyact.sequences.preprocess import Centre, Scale, Smooth


class SequenceSettings(BaseModel):
    """How recordings become inputs, and how they are changed in training.

    What is not given is told by the data; see `keyact.train.sequence_defaults`. Of the changes in
    training, ``joint_drop``, ``jitter`` and so on are `keyact.sequences.Augment`'s.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What the network sees
    frames: int = Field(default=40, ge=4, le=1024, description="that a recording is put into")
    streams: tuple[str, ...] | None = Field(default=None, description="the model's own by default")
    people: int | None = Field(default=None, ge=1, le=8, description="of each recording")
    centre: Centre = "clip"
    scale: Scale | Literal["auto"] = Field(default="auto", description="torso in 3D, body in 2D")
    smooth: Smooth = "none"
    view: bool | None = Field(default=None, description="turn people in 3D to face the same way")
    every: int | None = Field(
        default=None, ge=1, description="of a video, look at every N-th frame; about 15 a second"
    )
    eyes: str = Field(
        default="keypoint-fusion", description="whose features a network that looks at pictures has"
    )

    # How recordings are changed in training
    flip: float | None = Field(
        default=None, ge=0, le=1, description="share mirrored; 0.5 where left and right are alike"
    )
    rotate: float | None = Field(default=None, ge=0, le=180, description="degrees; 15, 30 in 3D")
    tilt: float = Field(default=8.0, ge=0, le=180)
    stretch: float = Field(default=0.15, ge=0, le=1, description="of each axis")
    shear: float = Field(default=0.1, ge=0, le=1)
    jitter: float = Field(default=0.01, ge=0, le=1)
    joint_drop: float = Field(default=0.03, ge=0, le=1)
    frame_drop: float = Field(default=0.03, ge=0, le=1)
    crop: float = Field(default=0.75, gt=0, le=1, description="least part of a recording taken")
    speed: float = Field(default=0.15, ge=0, le=1)
    glance_drop: float = Field(
        default=0.15, ge=0, le=1, description="share whose pictures are not seen"
    )

    # How long, on what, and how the result is used
    samples: int = Field(
        default=1600, ge=1, description="least number of clips in an epoch; few are repeated"
    )
    val: float = Field(
        default=0.2, gt=0, lt=1, description="share held out where there is no val split"
    )
    refit: bool | None = Field(
        default=None,
        description="train once more, with what was held out; by default where that was ours",
    )
    background: str | None = Field(
        default=None, description="label of recordings that show none of the actions"
    )
    clips: int = Field(default=2, ge=0, le=20, description="parts looked at beside the whole")
    fraction: float = Field(default=0.85, gt=0, le=1, description="length of those parts")
