"""The environment of a host."""

from __future__ import annotations

from pathlib import Path

from conformance.host.environment import host_environment

BASE = {"PATH": "/bin", "HOME": "/home/me", "OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": "1"}


def test_one_thread(tmp_path: Path) -> None:
    """Every pool of threads has one, whatever is inherited; the rest of the environment stays."""
    got = host_environment("cpu", tmp_path, BASE)
    pools = ["OMP", "MKL", "OPENBLAS"]
    assert ["1", "1", "1"] == [got[f"{pool}_NUM_THREADS"] for pool in pools]
    assert [got["TF_NUM_INTRAOP_THREADS"], got["TF_NUM_INTEROP_THREADS"]] == ["1", "1"]
    assert got["PATH"] == "/bin"
    assert got["HOME"] == "/home/me"


def test_accelerators_are_hidden(tmp_path: Path) -> None:
    """On the CPU no accelerator is visible; with ``cuda`` those that are inherited are."""
    cpu, cuda = (host_environment(device, tmp_path, BASE) for device in ("cpu", "cuda"))
    assert (cpu["CUDA_VISIBLE_DEVICES"], cpu["JAX_PLATFORMS"]) == ("", "cpu")
    assert cuda["CUDA_VISIBLE_DEVICES"] == "1"
    assert "JAX_PLATFORMS" not in cuda


def test_full_float32_on_an_accelerator(tmp_path: Path) -> None:
    """With ``cuda`` TF32 is off and sums are the same on every run; flags that are inherited stay before ours."""
    cuda = host_environment("cuda", tmp_path, {**BASE, "XLA_FLAGS": "--mine"})
    assert ["0", ":4096:8"] == [cuda["NVIDIA_TF32_OVERRIDE"], cuda["CUBLAS_WORKSPACE_CONFIG"]]
    assert ["--mine", "--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0"] == cuda["XLA_FLAGS"].split()
    assert "XLA_FLAGS" not in host_environment("cpu", tmp_path, BASE)


def test_nothing_is_written_to_the_home(tmp_path: Path) -> None:
    """Keras has a scratch folder, and compiled programs go to the user's cache folder."""
    got = host_environment("cpu", tmp_path, BASE)
    assert str(tmp_path / "keras") == got["KERAS_HOME"]
    assert got["JAX_COMPILATION_CACHE_DIR"] == "/home/me/.cache/batchnorm-conformance/jax"
    moved = host_environment("cpu", tmp_path, {**BASE, "XDG_CACHE_HOME": "/cache"})
    assert moved["JAX_COMPILATION_CACHE_DIR"] == "/cache/batchnorm-conformance/jax"


def test_the_page_lists_every_variable(tmp_path: Path) -> None:
    """docs/adapters.md names every variable that a host's environment sets."""
    page = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()
    ours = {name for device in ("cpu", "cuda") for name in host_environment(device, tmp_path, {"HOME": "/home/me"})}
    ours -= {"HOME"}
    assert [] == sorted(name for name in ours if f"`{name}`" not in page)
