"""Numbers that users of these systems published, from the models of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from math import erf
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conformance.adapters import numpy as formulas
from conformance.adapters.contract import LayerConfig
from conformance.definition.constants import kept_constants
from conformance.definition.rules import Rules
from conformance.definition.running_state import update_weight
from conformance.modelled.model import Model
from conformance.modelled.systems import FLUX, LUX, MATLAB

Array = NDArray[Any]


def config(channels: int, dtype: str = "float32", rank: int = 2) -> LayerConfig:
    """Return a layer as all three make it unless told otherwise: momentum 0.1, epsilon 1e-5."""
    return LayerConfig(
        channels=channels, rank=rank, momentum=0.1, epsilon=1e-5, gamma=True, beta=True, tracked=True,
        dtype=dtype, param_dtype=dtype, channel_axis="native",
    )  # fmt: skip


def built(model: Model, channels: int, dtype: str = "float32") -> Any:
    layer = config(channels, dtype)
    return model.adapter(layer).create(layer, {})


def test_flux_has_a_test_of_its_own() -> None:
    """After one step on [1 3 5; 2 4 6] the running mean is [0.3, 0.4], the variance [1.3, 1.3]; then it normalises."""
    layer = built(FLUX, 2)
    x = np.array([[1, 3, 5], [2, 4, 6]], np.float32).T
    y = layer.forward(x, "train").y
    state = layer.get_state()
    np.testing.assert_allclose([[-1.22474, 0, 1.22474]] * 2, y.T, atol=1e-5)
    assert np.array([0.3, 0.4], np.float32).tolist() == state["running_mean"].tolist()
    np.testing.assert_array_max_ulp(np.array([1.3, 1.3], np.float32), state["running_var"], maxulp=1)
    assert (1 - 0.3) / np.sqrt(1.3) == pytest.approx(layer.forward(x, "evaluate").y[0, 0], abs=1e-5)


@pytest.mark.parametrize(
    ("model", "variance"), [(MATLAB, 1.1666667), (FLUX, 1.3), (LUX, 1.3)], ids=["matlab", "flux", "lux"]
)
def test_the_probe(model: Model, variance: float) -> None:
    """Channel values 1, 3, 5 with a momentum of 0.1 give a mean of 0.3, and the variance of the estimator."""
    layer = built(model, 1)
    layer.forward(np.array([[1], [3], [5]], np.float32), "train")
    state = layer.get_state()
    np.testing.assert_array_max_ulp(np.float32([0.3, variance]), np.concatenate([*state.values()]), maxulp=1)


@pytest.mark.parametrize("model", [FLUX, LUX], ids=lambda model: model.name)
def test_constants_stay_single(model: Model) -> None:
    """A double-precision layer computes with an epsilon of 9.99999975e-6 and a momentum of 0.100000001."""
    layer = config(1, "float64")
    rules = Rules(dialect=model.dialect_for(layer))
    assert "9.99999975e-06" == f"{kept_constants(layer, rules.dialect).epsilon:.9g}"
    assert "0.100000001" == f"{update_weight(1, 0.1, rules):.9g}"
    assert Rules(dialect=model.dialect_for(config(1))).dialect.constants == "own"


# --- A loss inside and outside the gradient call: 22.6, 30.7, 23.0 ---------------------------------------------

#: 100x100 values of rand(), y = 5x + 3, Chain(BatchNorm(1), Conv((1, 1), 1 => 1)), mean square error.
PUBLISHED = (22.6, 30.7, 23.0)
#: Standard error of the mean of 10,000 uniform values; Glorot's limit for one input and one output.
ERROR_OF_MEAN, GLOROT = 1 / np.sqrt(12 * 10_000), np.sqrt(3)


def losses(model: Model, weight: float, shift: float, updates: int = 1) -> tuple[float, float, float]:
    """Return the three losses for a weight of the convolution, and x whose mean is off by ``shift`` errors."""
    x = (np.arange(10_000) + 0.5).reshape(-1, 1) / 10_000 + shift * ERROR_OF_MEAN
    y = 5 * x + 3
    layer = built(model, 1, "float64")

    def loss(mode: str) -> float:
        return float(np.mean((weight * layer.forward(x, mode).y - y) ** 2))

    before, during = loss("evaluate"), loss("train")
    for _ in range(updates - 1):
        loss("train")
    return before, during, loss("evaluate")


def fits(found: tuple[float, ...]) -> bool:
    return all(abs(one - published) <= 0.05 for one, published in zip(found, PUBLISHED, strict=True))


WEIGHTS = np.linspace(1.5, GLOROT, 30)
SHIFTS = np.linspace(-3, 3, 25)


def test_loss_in_and_outside_the_gradient() -> None:
    """Some weight that the initialisation draws, and a mean of x within three errors, give all three numbers."""
    assert any(fits(losses(FLUX, weight, shift)) for weight, shift in product(WEIGHTS, SHIFTS))


@pytest.mark.parametrize("updates", [0, 2])
def test_the_gradient_call_moves_the_state_once(updates: int) -> None:
    """Nothing within the same range gives the third number if the state were moved never, or twice."""
    found = [losses(FLUX, weight, shift, updates or 1) for weight, shift in product(WEIGHTS, SHIFTS)]
    if updates == 0:  # what was before stays
        found = [(before, during, before) for before, during, _ in found]
    assert not any(map(fits, found))


# --- MATLAB: forward and predict on one batch, 0.3134 and 2.6776e-12 -----------------------------------------

BLOCKS, WIDTH, SAMPLES = 8, 80, 1000


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


class Network:
    """Blocks of dense, batch normalisation and GELU, then dense 4; Glorot-uniform weights, no biases that matter."""

    def __init__(self, seed: int, rules: Rules) -> None:
        draw = np.random.default_rng(seed)
        sizes = [2, *[WIDTH] * BLOCKS, 4]
        self.weights = [
            draw.uniform(-1, 1, (m, n)) * np.sqrt(6 / (m + n)) for m, n in pairwise(sizes)
        ]
        self.x = 2 * np.pi * draw.standard_normal((SAMPLES, 2))
        layer = config(WIDTH, "float64")
        self.layers = [formulas.Adapter(rules).create(layer, {}) for _ in range(BLOCKS)]

    def forward(self, mode: str, times: int = 1) -> Array:
        """Return the first output; train ``times`` forwards, which see the same batches each."""
        x = self.x
        for weight, layer in zip(self.weights, self.layers, strict=False):
            done = layer.forward(x @ weight, mode)
            for _ in range(times - 1):
                layer.move(done.batch)
            x = gelu(done.y)
        return np.asarray((x @ self.weights[-1])[:, 0])


def gap(seed: int, times: int, **rules: Any) -> float:
    """Return half the mean square difference between forward and predict after so many forwards."""
    dialect = MATLAB.dialect_for(config(WIDTH, "float64"))
    network = Network(seed, Rules(dialect=replace(dialect, **rules.pop("dialect", {})), **rules))
    trained = network.forward("train", times)
    return float(np.mean((trained - network.forward("evaluate")) ** 2) / 2)


SEEDS = range(5)


def test_after_one_forward() -> None:
    """0.3134 lies within what random networks of this kind give after one forward."""
    found = [gap(seed, 1) for seed in SEEDS]
    assert min(found) < 0.3134 < max(found)


def test_after_500_forwards() -> None:
    """2.6776e-12 lies within what they give after 500, with a population variance and a state in single precision."""
    found = [gap(seed, 500, state_kept_in="float32") for seed in SEEDS]
    assert min(found) < 2.6776e-12 < max(found)


def test_the_sample_variance_is_ruled_out() -> None:
    """With the sample variance the difference stays hundreds of times larger, for every network."""
    found = [gap(seed, 500, dialect={"running_variance": "sample"}, state_kept_in="float32") for seed in SEEDS]
    assert min(found) > 100 * 2.6776e-12


def test_a_double_state_is_ruled_out() -> None:
    """With a state in double precision the difference would be a millionth of it."""
    assert max(gap(seed, 500) for seed in SEEDS) < 1e-6 * 2.6776e-12
