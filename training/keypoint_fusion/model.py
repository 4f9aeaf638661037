"""The network as the package has it: see `keyact.models.keypoint_fusion.network`."""

from keyact.models.keypoint_fusion.network import BRANCHES, SIZE, build, features, head
from keyact.models.pose_features import JOINTS

__all__ = ["BRANCHES", "JOINTS", "SIZE", "build", "features", "head"]
