"""The running statistics: how they are made, and when they move."""

from __future__ import annotations

from conformance.definition.clauses.clause import PAPER, Clause

__all__ = ["CLAUSES"]

CLAUSES = (
    Clause(
        "3.1",
        "A training forward blends the batch mean into the running mean.",
        "running_mean = (1 - momentum) * running_mean + momentum * mean",
        f"{PAPER}, section 3.1 (moving averages); documentation of torch.nn.BatchNorm1d for the convention",
    ),
    Clause(
        "3.2",
        "A training forward blends an estimate of the variance into the running variance; the estimator is a choice.",
        "running_var = (1 - momentum) * running_var + momentum * b * var, b = n / (n - 1) (sample) or 1 (population)",
        f"{PAPER}, Algorithm 2, step 10 (sample)",
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
        "3.6",
        "A batch weighs in the state by momentum alone, however many values it has.",
        "momentum does not depend on n",
        "clauses 3.1 and 3.2; reported where it failed: deeplearning4j/deeplearning4j#6648",
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
        f"{PAPER}, Algorithm 1",
    ),
    Clause(
        "4.3",
        "Evaluating leaves the state as it is, bit for bit, gradients included.",
        "running = running",
        f"{PAPER}, Algorithm 2",
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
        "4.6",
        "Whether a forward that the backward does again, as checkpointing does, moves the state again is a choice.",
        "once: one update; again: two updates with the same batch",
        "the paper is silent; reported: pytorch/pytorch#96136",
    ),
    Clause(
        "4.7",
        "A call that fails leaves the state as it was.",
        "running = running",
        "documentation of torch.nn.BatchNorm1d (an input of the wrong size is refused)",
    ),
)
