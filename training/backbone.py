"""MobileNetV2 as the package has it, for the scripts here."""

from keyact.models.backbone import Folded, freeze_until, initial_weights, mobilenet_v2

__all__ = ["Folded", "freeze_until", "initial_weights", "mobilenet_v2"]
