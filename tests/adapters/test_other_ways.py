"""PyTorch's other ways, ONNX, tinygrad, MLX and Paddle: what each answers, held against plain NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.adapters import registry
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.observation import Observation, Raised
from conformance.host.session import HostSession

GRAPHS = ["onnx-reference-14", "onnx-reference-15", "onnxruntime"]
LAYERS = ["torch-functional", "torch-func", "torch-func:vmap", "torch:compile", "tinygrad", "mlx", "paddle"]
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def opened(name: str) -> Iterator[HostSession]:
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    with HostSession(name, time_limit=240) as one:
        yield one


def groups(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]


@pytest.fixture(scope="module", params=groups([*GRAPHS, *LAYERS]))
def session(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    yield from opened(request.param)


@pytest.fixture(scope="module", params=groups(LAYERS))
def layer(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    yield from opened(request.param)


def asked(session: HostSession, steps: list[dict[str, Any]], **changes: Any) -> tuple[Observation, dict[str, Any]]:
    made = msgspec.convert(
        {"id": "made/up", "fact": "Made up.", "clauses": ["1.1"], "shape": "5x3", "steps": steps, **changes}, Case
    )
    seen = session.observe(made)
    assert isinstance(seen, Observation), seen
    return seen, dict(generate(made))


def array(seen: Observation, step: int, name: str) -> np.ndarray[Any, Any]:
    outcome = seen.outcomes.get((step, name), seen.outcomes.get((step, "outcome")))
    assert isinstance(outcome, np.ndarray), outcome
    return outcome


def test_name_and_execution_are_the_registry_s(session: HostSession) -> None:
    """What an adapter says of itself is what it is registered under."""
    who, spec = session.implementation, registry.find(session.adapter)
    assert session.adapter.partition(":")[0] == who.name
    assert spec.execution == who.execution


def test_trains_and_evaluates(session: HostSession) -> None:
    """Outputs of both modes, and the state between, are the formulas with the declared estimator."""
    seen, given = asked(session, [{"train": "a"}, {"evaluate": "b"}])
    x, n = given["x:a"], 5
    factor = {"sample": n / (n - 1), "population": 1}[seen.dialect.running_variance]
    mean = 0.9 * given["running_mean"] + 0.1 * x.mean(0)
    var = 0.9 * given["running_var"] + 0.1 * factor * x.var(0)
    y = given["gamma"] * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) + given["beta"]
    np.testing.assert_allclose(array(seen, 1, "y"), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(array(seen, 1, "running_mean"), mean, **CLOSE)
    np.testing.assert_allclose(array(seen, 1, "running_var"), var, **CLOSE)
    y = given["gamma"] * (given["x:b"] - mean) / np.sqrt(var + 1e-3) + given["beta"]
    np.testing.assert_allclose(array(seen, 2, "y"), y, rtol=1e-5, atol=1e-6)


def test_gradients_in_train(layer: HostSession) -> None:
    """Gradients of a training call are those of the paper."""
    seen, given = asked(layer, [{"train": "a", "gradients": ["x", "gamma", "beta"]}])
    x, dy = given["x:a"], given["dy:1"]
    s = np.sqrt(x.var(0) + 1e-3)
    xhat = (x - x.mean(0)) / s
    dx = given["gamma"] / s * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))
    np.testing.assert_allclose(array(seen, 1, "dx"), dx, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(seen, 1, "dgamma"), (dy * xhat).sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(seen, 1, "dbeta"), dy.sum(0), rtol=1e-5, atol=1e-5)


def test_update_is_detached_or_not_as_declared(layer: HostSession) -> None:
    """Through the update of the state flows a gradient where it is declared, and none where it is not."""
    seen, _ = asked(layer, [{"through_update": ["a", "b"]}])
    assert (seen.dialect.update_gradient == "differentiable") == bool(array(seen, 1, "dx_earlier").any())


def test_a_loaded_layer_goes_on(session: HostSession) -> None:
    """A layer that has been saved and loaded evaluates bit for bit as before, where it can be saved."""
    seen, _ = asked(session, [{"evaluate": "a"}, {"reload": True}, {"evaluate": "a"}])
    if seen.unsupported is not None:
        assert isinstance(seen.outcomes[2, "outcome"], Raised)
        return
    np.testing.assert_array_equal(array(seen, 1, "y"), array(seen, 3, "y"), strict=True)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_training_output_of_a_graph_is_free_of_momentum(name: str, momentum: float) -> None:
    """The output of training does not depend on the momentum, as was once reported of a runtime."""
    for session in opened(name):
        seen, given = asked(session, [{"train": "a"}], shape="2x4x3", momentum=momentum, gamma="ones", beta="zeros")
        x = given["x:a"]
        expected = (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-3)
        np.testing.assert_allclose(array(seen, 1, "y"), expected, rtol=1e-5, atol=1e-5)


def test_graphs_have_no_gradients() -> None:
    """A gradient asked of a graph is declared unsupported, and raises."""
    for session in opened("onnxruntime"):
        seen, _ = asked(session, [{"train": "a", "gradients": ["x"]}])
        assert "no gradients" in str(seen.unsupported)
        assert isinstance(seen.outcomes[1, "outcome"], Raised)


def test_compiled_code_ran() -> None:
    """A call of the compiled layer that leaves no compiled graph behind raises."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'batchnorm-conformance[torch]'")
    from conformance.adapters.torch_compile import _proved  # noqa: PLC0415

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with pytest.raises(RuntimeError, match="compiled nothing"):
        _proved(lambda: torch.ones(2))
