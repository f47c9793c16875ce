"""What each implementation calls its arguments, parameters and state, and what it takes where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["NAMINGS", "WITHOUT_STATE", "Naming", "naming_of"]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The names of one implementation.

    ``momentum_weighs`` is what its number weighs, the ``new`` batch or the ``old`` state; a default is ``None`` where
    the argument has to be given. ``layout`` is where it finds the channels: ``second``, ``last`` or ``either``.
    ``note`` says what else belongs to its state, ``update`` how its users keep the running statistics where nothing
    that is called does.
    """

    constructor: str
    channels: str | None
    momentum: str
    momentum_weighs: str
    momentum_default: float | None
    epsilon: str
    epsilon_default: float | None
    gamma: str
    beta: str
    running_mean: str
    running_var: str
    layout: str
    note: str = ""
    update: str = ""

    def constructed(self, momentum: float, epsilon: float, channels: int | None) -> str:
        """Return the call of the constructor; ``momentum`` is the weight of the new batch."""
        given = momentum if self.momentum_weighs == "new" else 1 - momentum
        size = [] if self.channels is None else [str(channels) if channels is not None else self.channels]
        moving = [] if self.update else [f"{self.momentum}={given:.10g}"]
        arguments = [*size, *moving, f"{self.epsilon}={epsilon:g}"]
        return f"{self.constructor}({', '.join(arguments)})"


_TORCH = Naming(
    constructor="torch.nn.BatchNorm2d", channels="channels", momentum="momentum", momentum_weighs="new",
    momentum_default=0.1, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="running_mean", running_var="running_var", layout="second",
    note="num_batches_tracked counts training forwards; it matters only with momentum=None",
)  # fmt: skip
_KERAS = Naming(
    constructor="keras.layers.BatchNormalization", channels=None, momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="epsilon", epsilon_default=1e-3, gamma="gamma", beta="beta",
    running_mean="moving_mean", running_var="moving_variance", layout="either",
)  # fmt: skip
_LINEN = Naming(
    constructor="flax.linen.BatchNorm", channels=None, momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="epsilon", epsilon_default=1e-5, gamma='["params"]["scale"]',
    beta='["params"]["bias"]', running_mean='["batch_stats"]["mean"]', running_var='["batch_stats"]["var"]',
    layout="either",
)  # fmt: skip
_NNX = Naming(
    constructor="flax.nnx.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="epsilon", epsilon_default=1e-5, gamma="scale", beta="bias", running_mean="mean",
    running_var="var", layout="either",
)  # fmt: skip
_HAIKU = Naming(
    constructor="haiku.BatchNorm", channels=None, momentum="decay_rate", momentum_weighs="old", momentum_default=None,
    epsilon="eps", epsilon_default=1e-5, gamma="scale", beta="offset", running_mean="mean_ema/average",
    running_var="var_ema/average", layout="either",
    note="beside each average there are hidden, its biased form, and counter: a state that is put in counts no update",
)  # fmt: skip
_EQUINOX = Naming(
    constructor="equinox.nn.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="state, first of the pair", running_var="state, second of the pair", layout="second",
    note="in mode batch the state is debiased by its counter: put a large one beside a state that comes from elsewhere",
)  # fmt: skip
_MLX = Naming(
    constructor="mlx.nn.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="new",
    momentum_default=0.1, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="running_mean", running_var="running_var", layout="last",
)  # fmt: skip
_PADDLE = Naming(
    constructor="paddle.nn.BatchNorm2D", channels="channels", momentum="momentum", momentum_weighs="old",
    momentum_default=0.9, epsilon="epsilon", epsilon_default=1e-5, gamma="weight", beta="bias", running_mean="_mean",
    running_var="_variance", layout="either",
)  # fmt: skip
_MXNET = Naming(
    constructor="mxnet.gluon.nn.BatchNorm", channels=None, momentum="momentum", momentum_weighs="old",
    momentum_default=0.9, epsilon="epsilon", epsilon_default=1e-5, gamma="gamma", beta="beta",
    running_mean="running_mean", running_var="running_var", layout="either",
    note="the state moves when the gradients of a training call are taken, and not before",
)  # fmt: skip
_TINYGRAD = Naming(
    constructor="tinygrad.nn.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="new",
    momentum_default=0.1, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="running_mean", running_var="running_var", layout="second",
)  # fmt: skip
_KERAS_2 = replace(_KERAS, constructor="tf_keras.layers.BatchNormalization")
_KERAS_V1 = replace(_KERAS, constructor="tf.compat.v1.keras.layers.BatchNormalization")
_TORCH_FUNCTION = Naming(
    constructor="torch.nn.functional.batch_norm", channels=None, momentum="momentum", momentum_weighs="new",
    momentum_default=0.1, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="running_mean", running_var="running_var", layout="second",
    note="every call is given the tensors, and training=; in train it overwrites the two of the state",
)  # fmt: skip
_TF_FUSED = Naming(
    constructor="tf.compat.v1.nn.fused_batch_norm", channels=None, momentum="exponential_avg_factor",
    momentum_weighs="new", momentum_default=1.0, epsilon="epsilon", epsilon_default=1e-3, gamma="scale", beta="offset",
    running_mean="mean", running_var="variance", layout="either",
    note="a call in training returns the new mean and variance; they are yours to keep",
)  # fmt: skip
_TF_FUNCTIONS = Naming(
    constructor="tf.nn.batch_normalization", channels=None, momentum="weight", momentum_weighs="new",
    momentum_default=None, epsilon="variance_epsilon", epsilon_default=None, gamma="scale", beta="offset",
    running_mean="mean", running_var="variance", layout="either",
    update="held.assign(held * (1 - weight) + batch * weight)",
    note="it knows no training: tf.nn.moments gives the statistics of a batch",
)  # fmt: skip
_ONNX = Naming(
    constructor="BatchNormalization", channels=None, momentum="momentum", momentum_weighs="old", momentum_default=0.9,
    epsilon="epsilon", epsilon_default=1e-5, gamma="scale", beta="B", running_mean="input_mean",
    running_var="input_var", layout="second", note="a graph for serving has training_mode=0",
)  # fmt: skip
_FORMULAS = Naming(
    constructor="batch_norm", channels=None, momentum="momentum", momentum_weighs="new", momentum_default=None,
    epsilon="epsilon", epsilon_default=None, gamma="gamma", beta="beta", running_mean="running_mean",
    running_var="running_var", layout="second",
)  # fmt: skip

#: By the name of the adapter without its execution.
NAMINGS: dict[str, Naming] = {
    "numpy": _FORMULAS,
    "torch": _TORCH,
    "torch-functional": _TORCH_FUNCTION,
    "torch-func": _TORCH,
    "keras-tensorflow": _KERAS,
    "keras-jax": _KERAS,
    "keras-torch": _KERAS,
    "tf-keras-fused": _KERAS_2,
    "tf-keras-unfused": _KERAS_2,
    "tf-keras-v1": _KERAS_V1,
    "tensorflow-fused": _TF_FUSED,
    "tensorflow-nn": _TF_FUNCTIONS,
    "flax-linen": _LINEN,
    "flax-linen-two-pass": _LINEN,
    "flax-nnx": _NNX,
    "haiku": _HAIKU,
    "equinox-batch": _EQUINOX,
    "equinox-ema": _EQUINOX,
    "mlx": _MLX,
    "paddle": _PADDLE,
    "mxnet": _MXNET,
    "tinygrad": _TINYGRAD,
    "onnx-reference-9": _ONNX,
    "onnx-reference-14": _ONNX,
    "onnx-reference-15": _ONNX,
    "onnxruntime": _ONNX,
}


#: Why a layer cannot be carried to or from some that come with the suite.
WITHOUT_STATE = {
    "stax": "stax.BatchNorm keeps no running statistics, but evaluates with its batch: there is no state to carry",
}


def naming_of(adapter: str) -> Naming | None:
    """Return the names of an adapter, whatever its execution; ``None`` if nobody wrote them down."""
    return NAMINGS.get(adapter.partition(":")[0])
