"""Gradients in both modes and through the update, and derivatives of higher order."""

from __future__ import annotations

from conformance.definition.clauses.clause import PAPER, Clause

__all__ = ["CLAUSES"]

CLAUSES = (
    Clause(
        "6.1",
        "In train, the gradient with respect to the input passes through the statistics of the batch.",
        "dx = gamma / s * (dy - avg(dy) - xhat * avg(dy * xhat))",
        f"{PAPER}, section 3 (chain rule)",
    ),
    Clause(
        "6.2",
        "In train, the gradients of gamma and beta are sums over the batch.",
        "dgamma = sum(dy * xhat), dbeta = sum(dy)",
        f"{PAPER}, section 3 (chain rule)",
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
        f"{PAPER}, Algorithm 2 (a linear transform); reported where it failed: pytorch/xla#913",
    ),
    Clause(
        "7.2",
        "In evaluate, the gradients of gamma and beta are those of the linear transform.",
        "dgamma = sum(dy * (x - running_mean) / sqrt(running_var + epsilon)), dbeta = sum(dy)",
        f"{PAPER}, Algorithm 2",
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
        "9.1",
        "In train, second derivatives pass through the batch statistics twice.",
        "H = -gamma / (n s^2) * (P g xhat' + xhat (P g)' + (g . xhat) P - 3/n * (g . xhat) xhat xhat') "
        "for L = sum(y * g), P the centring matrix; mixed ones with gamma and dy likewise",
        f"derivative of clause 6.1; {PAPER}, section 3",
    ),
    Clause(
        "9.2",
        "In evaluate, the output is linear in the input: the Hessian in x is zero, the mixed ones are constant in x.",
        "d(dx) = (v_gamma * dy + gamma * v_dy) / sqrt(running_var + epsilon) along (v_x, v_gamma, v_dy)",
        f"derivative of clause 7.1; {PAPER}, Algorithm 2",
    ),
    Clause(
        "9.3",
        "Third derivatives in the input are those of the forward, in train and in evaluate, where they are zero.",
        "d^2/dt^2 of dx at x + t v",
        "definition of the derivative",
    ),
    Clause(
        "9.4",
        "Forward mode gives the derivative of the output along a direction, in train through the batch statistics.",
        "d/dt y(x + t v) = gamma / s * (v - avg(v) - xhat * avg(v * xhat)); in evaluate gamma / s * v",
        "definition of the derivative",
    ),
    Clause(
        "9.5",
        "Forward mode of second order gives the second derivative of the output along a direction.",
        "d^2/dt^2 y(x + t v); in evaluate 0",
        "definition of the derivative",
    ),
)
