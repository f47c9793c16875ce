"""What a call gives: normalising, gamma and beta, in train and in evaluate."""

from __future__ import annotations

from conformance.definition.clauses.clause import PAPER, Clause

__all__ = ["CLAUSES"]

CLAUSES = (
    Clause(
        "1.1",
        "In train, each channel is normalised with the mean and the population variance of its batch.",
        "xhat = (x - mean) / sqrt(var + epsilon), var = avg((x - mean)^2)",
        f"{PAPER}, Algorithm 1",
    ),
    Clause(
        "1.2",
        "Epsilon is added to the variance, inside the root, whatever its size from 1e-12 to 1.",
        "s = sqrt(var + epsilon)",
        f"{PAPER}, Algorithm 1",
    ),
    Clause(
        "1.3",
        "The normalisation holds for variances far from 1 and for means away from 0.",
        "xhat is unchanged, up to epsilon, when x is replaced by a x + b with a > 0",
        f"{PAPER}, section 3",
    ),
    Clause(
        "2.1",
        "The output is scaled by gamma and shifted by beta, one of each per channel.",
        "y = gamma * xhat + beta",
        f"{PAPER}, Algorithm 1",
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
        f"{PAPER}, Algorithm 1 (gamma is unconstrained)",
    ),
    Clause(
        "5.1",
        "In evaluate, each channel is normalised with the running statistics.",
        "y = gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta",
        f"{PAPER}, Algorithm 2, step 11",
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
        f"{PAPER}, Algorithm 2",
    ),
    Clause(
        "5.4",
        "In evaluate, a row's output does not depend on the other rows; any number of rows will do, one included.",
        "y(x)[i] = y(x[i:i+1])[0]",
        f"{PAPER}, section 3.1",
    ),
)
