"""The environment of a host: one thread, no accelerator unless asked for, nothing written to the home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["host_environment"]

#: Two workers on two cores must not start four threads each; a sum is the same on every run.
_ONE_THREAD = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
#: On an accelerator the same sums on every run, too: no atomic additions, no kernel chosen by a race.
_XLA_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")


def host_environment(device: str, scratch: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables of a host.

    Args:
        device: ``cpu``, or ``cuda`` to leave the accelerators visible, which then compute in full float32.
        scratch: a folder for what frameworks want to write, such as Keras' configuration.
        base: what is inherited; ``None`` for the environment of this process.
    """
    inherited = dict(os.environ if base is None else base)
    ours = dict.fromkeys(_ONE_THREAD, "1") | {
        "CONFORMANCE_DEVICE": device,
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "JAX_ENABLE_X64": "1",
        "JAX_COMPILATION_CACHE_DIR": str(_cache(inherited) / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_HOME": str(scratch / "keras"),
    }
    if device == "cuda":
        flags = " ".join(filter(None, (inherited.get("XLA_FLAGS", ""), *_XLA_FLAGS)))
        ours |= {"NVIDIA_TF32_OVERRIDE": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "XLA_FLAGS": flags}
    else:
        ours |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return inherited | ours


def _cache(environment: Mapping[str, str]) -> Path:
    """Return ``batchnorm-conformance`` in the user's cache folder."""
    parent = environment.get("XDG_CACHE_HOME")
    home = Path(environment.get("HOME") or Path.home())
    return (Path(parent) if parent else home / ".cache") / "batchnorm-conformance"
