"""``--device cuda``: what is pinned in each framework, and what is said where there is no such device.

No accelerator is needed: stand-ins for the frameworks keep what is set.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from conformance.adapters import registry
from conformance.adapters.shared import device
from conformance.adapters.shared.device import Device, pin_jax, pin_tensorflow, pin_torch, pinned
from conformance.cli.main import main
from conformance.errors import AdapterError
from conformance.host.frames import Frame
from conformance.host.service import Service


@pytest.fixture(autouse=True)
def nothing_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests have pinned, and ask for an accelerator."""
    monkeypatch.setattr(device, "_PINNED", {})
    monkeypatch.setenv("CONFORMANCE_DEVICE", "cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def torch_of(count: int) -> Any:
    """Return what stands for a PyTorch that sees so many accelerators; ``done`` keeps what was called."""
    done: list[tuple[str, str]] = []
    cuda = SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count, get_device_name=lambda _: "Fast")
    return SimpleNamespace(
        __version__="2.0", version=SimpleNamespace(cuda="12.1" if count else None), cuda=cuda, done=done,
        backends=SimpleNamespace(
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
            cudnn=SimpleNamespace(allow_tf32=True, benchmark=True, deterministic=False, version=lambda: 8902),
        ),
        set_float32_matmul_precision=lambda value: done.append(("precision", value)),
        set_default_device=lambda value: done.append(("device", value)),
    )  # fmt: skip


def jax_of(*platforms: str) -> Any:
    """Return what stands for a JAX that sees these platforms."""
    seen = [SimpleNamespace(platform=platform, device_kind=f"kind of {platform}") for platform in platforms]
    done: dict[str, Any] = {}

    def devices(platform: str = "") -> list[Any]:
        found = [one for one in seen if platform in ("", one.platform)]
        if not found:
            raise RuntimeError(f"Unknown backend {platform}")
        return found

    return SimpleNamespace(
        __version__="0.4", devices=devices, done=done, config=SimpleNamespace(update=done.__setitem__)
    )


def tensorflow_of(count: int) -> Any:
    """Return what stands for a TensorFlow that sees so many accelerators."""
    done: list[tuple[str, Any]] = []
    experimental = SimpleNamespace(
        enable_tensor_float_32_execution=lambda value: done.append(("TF32", value)),
        enable_op_determinism=lambda: done.append(("determinism", True)),
        get_device_details=lambda _: {"device_name": "Fast"},
    )
    config = SimpleNamespace(list_physical_devices=lambda _: list(range(count)), experimental=experimental)
    test = SimpleNamespace(is_built_with_cuda=lambda: False)
    return SimpleNamespace(__version__="2.16", config=config, test=test, done=done)


def test_torch_is_pinned() -> None:
    """TF32 and the race of kernels are off, sums deterministic, and float32 products in full precision."""
    torch = torch_of(1)
    found = pin_torch(torch)
    cudnn = torch.backends.cudnn
    assert [False, False] == [torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32]
    assert [False, True] == [cudnn.benchmark, cudnn.deterministic]
    assert [("precision", "highest"), ("device", "cuda")] == torch.done
    assert "cuda" == found.name
    assert {
        "accelerator": "Fast", "CUDA": "12.1", "cuDNN": "8902", "float32 matmul precision": "highest", "TF32": "off",
        "cuDNN benchmark": "off", "cuDNN deterministic": "on",
    } == found.settings  # fmt: skip


def test_jax_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are made in full precision on the first accelerator, under the flags of the environment."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    jax = jax_of("cpu", "cuda")
    found = pin_jax(jax)
    assert "highest" == jax.done["jax_default_matmul_precision"]
    assert "cuda" == jax.done["jax_default_device"].platform
    assert {
        "accelerator": "kind of cuda", "default matmul precision": "highest", "TF32": "off",
        "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    } == found.settings  # fmt: skip


def test_tensorflow_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 is off, and operations are deterministic."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    tf = tensorflow_of(1)
    found = pin_tensorflow(tf)
    assert [("TF32", False), ("determinism", True)] == tf.done
    assert {"accelerator": "Fast", "TF32": "off", "op determinism": "on", "XLA_FLAGS": ""} == found.settings


ABSENT = {
    "torch": (pin_torch, torch_of(0), "PyTorch 2.0 sees 0 CUDA devices; it is built without CUDA"),
    "jax": (pin_jax, jax_of("cpu"), "JAX 0.4 sees the platforms cpu: Unknown backend cuda"),
    "tensorflow": (pin_tensorflow, tensorflow_of(0), "TensorFlow 2.16 sees no GPU; it is built without CUDA"),
}


@pytest.mark.parametrize(("pin", "framework", "said"), ABSENT.values(), ids=ABSENT)
def test_an_absent_device(monkeypatch: pytest.MonkeyPatch, pin: Any, framework: Any, said: str) -> None:
    """Where the framework sees none, it is told what was asked, what is seen, and what to do."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(AdapterError) as refusal:
        pin(framework)
    assert f"--device cuda: {said} (CUDA_VISIBLE_DEVICES is '1')" == refusal.value.args[0]
    assert "or ask for --device cpu" in refusal.value.hint


@pytest.mark.parametrize(("pin", "framework"), [(pin_torch, torch_of(1)), (pin_jax, jax_of("cuda")),
                                                (pin_tensorflow, tensorflow_of(1))], ids=ABSENT)  # fmt: skip
def test_nothing_is_set_on_the_cpu(monkeypatch: pytest.MonkeyPatch, pin: Any, framework: Any) -> None:
    """Unless it is asked for, an accelerator is left alone, and nothing is pinned."""
    monkeypatch.setenv("CONFORMANCE_DEVICE", "cpu")
    assert Device() == pin(framework)
    assert not framework.done
    assert Device() == pinned()


def test_the_column_tells_them() -> None:
    """What was pinned is in what the host says of the implementation, beside the adapter's own settings."""
    pin_torch(torch_of(1))
    service = Service(lambda: registry.load(registry.find("numpy")))
    answer = service.answer(Frame(b'{"op": "describe"}'))
    assert answer is not None
    assert b'"device":"cuda"' in answer.message
    assert b'"TF32":"off"' in answer.message


@pytest.mark.parametrize("name", ["torch", "flax-linen", "keras-tensorflow"])
def test_a_run_without_the_device(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    """A run that asks for an accelerator where there is none ends with 2, and says what to do."""
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    options = ["--case=running_stats/probe[dtype=float32]", "--device=cuda", "--quiet", f"--output={tmp_path}"]
    code = main(["run", f"--adapter={name}", *options])
    told = capsys.readouterr().err
    if code == 0:
        pytest.skip("there is an accelerator")
    assert 2 == code
    assert "--device cuda:" in told
    assert "ask for --device cpu" in told
