"""PersonDet-M: a small anchor-free person detector on MobileNetV2, distilled from YOLOX-nano."""
