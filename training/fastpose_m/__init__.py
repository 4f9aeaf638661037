"""FastPose-M: AlphaPose's top-down network on MobileNetV2, distilled from MoveNet Thunder."""
