"""keypoint-fusion: MobileNetV2 features focused on key points, fused with the pose itself."""
