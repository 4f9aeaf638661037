"""What the hardware computes fast: its number format, and whether to compile with XLA."""

from __future__ import annotations

from keyact.train.config import TrainConfig


def jit(config: TrainConfig) -> bool | str:
    """XLA as asked for; by itself not for TensorFlow on a CPU, where it is slower here."""
    import keras

    if config.jit is not None:
        return config.jit
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def fast_precision() -> str:
    """bfloat16 on processors and cards that compute in it, float16 on older cards."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        cards = tf.config.list_physical_devices("GPU")
        if cards:
            found = tf.config.experimental.get_device_details(cards[0]).get("compute_capability")
            return "bfloat16" if found is None or found >= (8, 0) else "float16"
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    elif backend == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return "bfloat16"
    return "bfloat16" if _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))
