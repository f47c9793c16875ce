"""The clauses of the definition: number, sentence, formula and source of each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AREAS", "CLAUSES", "Clause"]

_PAPER = "Ioffe & Szegedy 2015, arXiv:1502.03167"


@dataclass(frozen=True)
class Clause:
    """One numbered sentence of the definition; ``number`` is ``area.position``."""

    number: str
    sentence: str
    formula: str
    source: str

    @property
    def area(self) -> str:
        """Return the heading under which the clause stands."""
        return AREAS[int(self.number.partition(".")[0])]


AREAS: dict[int, str] = {
    1: "Normalise in train",
    2: "Affine or not",
    3: "Running mean and running variance",
    4: "When the state moves",
    5: "Evaluate",
    6: "Gradients in train",
    7: "Gradients in evaluate",
    8: "Differentiability of the update",
    14: "Layout",
}

_ALL = (
    Clause(
        "1.1",
        "In train, each channel is normalised with the mean and the population variance of its batch.",
        "xhat = (x - mean) / sqrt(var + epsilon), var = avg((x - mean)^2)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "1.2",
        "Epsilon is added to the variance, inside the root, whatever its size from 1e-12 to 1.",
        "s = sqrt(var + epsilon)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "1.3",
        "The normalisation holds for variances far from 1 and for means away from 0.",
        "xhat is unchanged, up to epsilon, when x is replaced by a x + b with a > 0",
        f"{_PAPER}, section 3",
    ),
    Clause(
        "2.1",
        "The output is scaled by gamma and shifted by beta, one of each per channel.",
        "y = gamma * xhat + beta",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "2.2",
        "A layer without gamma scales by 1, and one without beta shifts by 0.",
        "y = xhat + beta, y = gamma * xhat, y = xhat",
        "documentation of torch.nn.BatchNorm2d (affine, bias) and keras BatchNormalization (scale, center)",
    ),
    Clause(
        "2.3",
        "Gamma may be zero or negative: the output is then beta, or mirrored, and gradients follow.",
        "gamma = 0: y = beta, dx = 0, dgamma = sum(dy * xhat)",
        f"{_PAPER}, Algorithm 1 (gamma is unconstrained)",
    ),
    Clause(
        "3.1",
        "A training forward blends the batch mean into the running mean.",
        "running_mean = (1 - momentum) * running_mean + momentum * mean",
        f"{_PAPER}, section 3.1 (moving averages); documentation of torch.nn.BatchNorm1d for the convention",
    ),
    Clause(
        "3.2",
        "A training forward blends an estimate of the variance into the running variance; the estimator is a choice.",
        "running_var = (1 - momentum) * running_var + momentum * b * var, b = n / (n - 1) (sample) or 1 (population)",
        f"{_PAPER}, Algorithm 2, step 10 (sample)",
    ),
    Clause(
        "3.3",
        "Momentum 0 leaves the state as it is, momentum 1 replaces it by the statistics of the batch.",
        "momentum = 0: running = running; momentum = 1: running = batch",
        "limit of clauses 3.1 and 3.2",
    ),
    Clause(
        "3.4",
        "With cumulative momentum the k-th training forward weighs its batch 1/k: the state is the plain average.",
        "momentum_k = 1 / k",
        "documentation of torch.nn.BatchNorm1d, momentum=None",
    ),
    Clause(
        "3.5",
        "The state starts at mean 0 and variance 1; what the first update does with it is a choice.",
        "blend: as 3.1; replace: running = batch; debias: running / (1 - (1 - momentum)^k)",
        "documentation of torch.nn.BatchNorm1d, keras.layers.BatchNormalization and flax.linen.BatchNorm",
    ),
    Clause(
        "4.1",
        "A training forward moves the state exactly once, whether or not a gradient is taken afterwards.",
        "state after forward = state after forward and backward",
        "documentation of torch.nn.BatchNorm1d; reported where it failed: apache/mxnet#14357",
    ),
    Clause(
        "4.2",
        "The output of a training forward depends on the batch alone, not on the state.",
        "y(x, state_1) = y(x, state_2)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "4.3",
        "Evaluating leaves the state as it is, bit for bit, gradients included.",
        "running = running",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "4.4",
        "Two training forwards move the state twice, in the order of the calls.",
        "M_AB = (1 - a)^2 M_0 + a (1 - a) m_A + a m_B",
        "composition of clause 3.1",
    ),
    Clause(
        "4.5",
        "The state is updated although nothing reads it before the next step.",
        "as 3.1 and 3.2",
        "reported where it failed: tinygrad/tinygrad#17206",
    ),
    Clause(
        "5.1",
        "In evaluate, each channel is normalised with the running statistics.",
        "y = gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta",
        f"{_PAPER}, Algorithm 2, step 11",
    ),
    Clause(
        "5.2",
        "Before any training, evaluate uses the initial state.",
        "y = gamma * x / sqrt(1 + epsilon) + beta",
        "clauses 3.5 and 5.1",
    ),
    Clause(
        "5.3",
        "After training, evaluate uses the state that the training forwards left.",
        "clause 5.1 on the state of clauses 3.1 and 3.2",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "5.4",
        "In evaluate, a row's output does not depend on the other rows; any number of rows will do, one included.",
        "y(x)[i] = y(x[i:i+1])[0]",
        f"{_PAPER}, section 3.1",
    ),
    Clause(
        "6.1",
        "In train, the gradient with respect to the input passes through the statistics of the batch.",
        "dx = gamma / s * (dy - avg(dy) - xhat * avg(dy * xhat))",
        f"{_PAPER}, section 3 (chain rule)",
    ),
    Clause(
        "6.2",
        "In train, the gradients of gamma and beta are sums over the batch.",
        "dgamma = sum(dy * xhat), dbeta = sum(dy)",
        f"{_PAPER}, section 3 (chain rule)",
    ),
    Clause(
        "6.3",
        "A gradient asked for again, or after other calls of the layer, is the same.",
        "backward depends on its own forward only",
        "definition of the derivative; reported where it failed: apache/mxnet#21111",
    ),
    Clause(
        "6.4",
        "A gradient asked for alone equals the one asked for with others.",
        "dx of {x} = dx of {x, gamma, beta}",
        "definition of the derivative; reported where it failed: PaddlePaddle/Paddle#67559",
    ),
    Clause(
        "7.1",
        "In evaluate, the statistics are constants: the gradient of the input is the upstream one, scaled.",
        "dx = gamma / sqrt(running_var + epsilon) * dy",
        f"{_PAPER}, Algorithm 2 (a linear transform); reported where it failed: pytorch/xla#913",
    ),
    Clause(
        "7.2",
        "In evaluate, the gradients of gamma and beta are those of the linear transform.",
        "dgamma = sum(dy * (x - running_mean) / sqrt(running_var + epsilon)), dbeta = sum(dy)",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "7.3",
        "What is given as gradient with respect to the running statistics in evaluate is a choice.",
        "leaf: -gamma / s * sum(dy), -gamma / (2 s^3) * sum(dy * (x - running_mean)); constant: 0; refused: an error",
        "the paper is silent; behaviour differs between frameworks",
    ),
    Clause(
        "7.4",
        "With modes interleaved, a backward differentiates the forward that it belongs to.",
        "backward of an evaluate after a train uses the statistics which that evaluate used",
        "definition of the derivative; reported where it failed: torch/nn#768",
    ),
    Clause(
        "8.1",
        "Whether a gradient flows through the update of the state into an earlier batch is a choice.",
        "detached: 0; differentiable: chain rule through clauses 3.1 and 3.2",
        "the paper is silent; behaviour differs between frameworks",
    ),
    Clause(
        "14.1",
        "The statistics are taken over the batch and all spatial positions, in every rank from 2 to 5.",
        "n = N * prod(spatial)",
        f"{_PAPER}, section 3.2",
    ),
    Clause(
        "14.2",
        "The channels may be the second or the last axis; the answer is the same.",
        "y_last = moveaxis(y_second, 1, -1)",
        "documentation of keras.layers.BatchNormalization and flax.linen.BatchNorm (axis)",
    ),
    Clause(
        "14.3",
        "The answer does not depend on how the input lies in memory.",
        "y(view of x) = y(copy of x)",
        "reported where it failed: pytorch/pytorch#133520",
    ),
)

CLAUSES: dict[str, Clause] = {clause.number: clause for clause in _ALL}
