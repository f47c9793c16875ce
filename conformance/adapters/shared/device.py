"""The device that a host computes on, and the settings that are pinned there: full float32, the same sums on every run.

On an accelerator float32 is silently less: matrices and convolutions may be multiplied in TF32, which keeps ten bits,
and kernels be chosen by a race, or add up in whatever order threads arrive. What is pinned is told with the column.
Each function is given its framework, and imports none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.errors import AdapterError

__all__ = ["Device", "asked", "pin_jax", "pin_tensorflow", "pin_torch", "pinned"]

_OFF, _ON = "off", "on"


@dataclass(frozen=True)
class Device:
    """Where it computes, ``cpu`` or ``cuda``, and what was set there, by the names that users of the framework know."""

    name: str = "cpu"
    settings: Mapping[str, str] = field(default_factory=dict)


#: By framework, those that were pinned in this process.
_PINNED: dict[str, Device] = {}


def asked() -> str:
    """Return the device that the host was started for."""
    return os.environ.get("CONFORMANCE_DEVICE", "cpu")


def pinned() -> Device:
    """Return where the frameworks of this process compute, with all that was set for them."""
    devices = _PINNED.values()
    settings = {name: value for device in devices for name, value in device.settings.items()}
    return Device(next((device.name for device in devices), "cpu"), settings)


def pin_torch(torch: Any) -> Device:
    """Let PyTorch compute on the device that was asked for.

    Raises:
        AdapterError: an accelerator was asked for, and PyTorch sees none.
    """

    def pin() -> dict[str, str]:
        count = torch.cuda.device_count()
        if not (torch.cuda.is_available() and count):
            built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            raise _absent("PyTorch", torch.__version__, f"{count} CUDA devices; it is {built}")
        torch.set_float32_matmul_precision("highest")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.set_default_device("cuda")
        return {
            "accelerator": str(torch.cuda.get_device_name(0)), "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()), "float32 matmul precision": "highest", "TF32": _OFF,
            "cuDNN benchmark": _OFF, "cuDNN deterministic": _ON,
        }  # fmt: skip

    return _pin("torch", pin)


def pin_jax(jax: Any) -> Device:
    """Let JAX compute on the device that was asked for; XLA's flags are in the environment of the host.

    Raises:
        AdapterError: an accelerator was asked for, and JAX sees none.
    """

    def pin() -> dict[str, str]:
        try:
            devices = jax.devices("cuda")
        except RuntimeError as error:
            seen = ", ".join(sorted({str(device.platform) for device in jax.devices()}))
            raise _absent("JAX", jax.__version__, f"the platforms {seen}: {error}") from None
        jax.config.update("jax_default_matmul_precision", "highest")
        jax.config.update("jax_default_device", devices[0])
        return {
            "accelerator": str(devices[0].device_kind), "default matmul precision": "highest", "TF32": _OFF,
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        }  # fmt: skip

    return _pin("jax", pin)


def pin_tensorflow(tf: Any) -> Device:
    """Let TensorFlow compute on the device that was asked for, which it does where it sees one.

    Raises:
        AdapterError: an accelerator was asked for, and TensorFlow sees none.
    """

    def pin() -> dict[str, str]:
        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            built = "built with CUDA" if tf.test.is_built_with_cuda() else "built without CUDA"
            raise _absent("TensorFlow", tf.__version__, f"no GPU; it is {built}")
        tf.config.experimental.enable_tensor_float_32_execution(False)
        tf.config.experimental.enable_op_determinism()
        details = tf.config.experimental.get_device_details(devices[0])
        return {
            "accelerator": str(details.get("device_name", "GPU")), "TF32": _OFF, "op determinism": _ON,
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        }  # fmt: skip

    return _pin("tensorflow", pin)


def _pin(framework: str, pin: Callable[[], dict[str, str]]) -> Device:
    device = Device("cuda", pin()) if asked() == "cuda" else Device()
    return _PINNED.setdefault(framework, device)


def _absent(framework: str, version: str, seen: str) -> AdapterError:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    return AdapterError(
        f"--device cuda: {framework} {version} sees {seen}{hidden}",
        hint=f"install a build of {framework} for your accelerator and look at `nvidia-smi`, or ask for --device cpu",
    )
