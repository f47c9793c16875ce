"""What each implementation calls its arguments, parameters and state, and what it takes where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["NAMINGS", "WITHOUT_STATE", "Naming", "naming_of"]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The names of one implementation.

    ``momentum_weighs`` is what its number weighs, the ``new`` batch or the ``old`` state; a default is ``None`` where
    the argument has to be given. ``layout`` is where it finds the channels: ``second``, ``last`` or ``either``; of
    the latter ``layout_default`` is where nothing is said, ``axis_second`` and ``axis_last`` are the arguments that
    say where. ``twin`` is a second argument that takes the same momentum, ``always`` what has to be given besides.
    ``shape`` is that of parameters and statistics. ``note`` says what else belongs to its state, ``update`` how its
    users keep the running statistics where nothing that is called does.
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
    layout_default: str = ""
    axis_second: str = ""
    axis_last: str = ""
    twin: str = ""
    always: str = ""
    shape: str = "(channels,)"
    note: str = ""
    update: str = ""

    def constructed(self, momentum: float, epsilon: float, channels: int | None, layout: str = "") -> str:
        """Return the call of the constructor; ``momentum`` is the weight of the new batch.

        ``layout`` is where the channels are, if that has to be said.
        """
        given = momentum if self.momentum_weighs == "new" else 1 - momentum
        size = [] if self.channels is None else [str(channels) if channels is not None else self.channels]
        axis = [self.axis(layout)] if layout and self.axis(layout) else []
        moving = [] if self.update else [f"{name}={given:.10g}" for name in (self.momentum, self.twin) if name]
        always = [self.always] if self.always else []
        arguments = [*size, *axis, *moving, f"{self.epsilon}={epsilon:g}", *always]
        return f"{self.constructor}({', '.join(arguments)})"

    @property
    def found(self) -> str:
        """Return where the channels are found if nothing is said: ``second`` or ``last``."""
        return self.layout_default or self.layout

    def axis(self, layout: str) -> str:
        """Return the argument by which the channels are found there; empty where there is none."""
        return {"second": self.axis_second, "last": self.axis_last}[layout]


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
    layout_default="last", axis_second="axis=1", axis_last="axis=-1",
)  # fmt: skip
_LINEN = Naming(
    constructor="flax.linen.BatchNorm", channels=None, momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="epsilon", epsilon_default=1e-5, gamma='["params"]["scale"]',
    beta='["params"]["bias"]', running_mean='["batch_stats"]["mean"]', running_var='["batch_stats"]["var"]',
    layout="either",
    layout_default="last", axis_second="axis=1", axis_last="axis=-1",
)  # fmt: skip
_NNX = Naming(
    constructor="flax.nnx.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="epsilon", epsilon_default=1e-5, gamma="scale", beta="bias", running_mean="mean",
    running_var="var", layout="either",
    layout_default="last", axis_second="axis=1", axis_last="axis=-1",
    always="rngs=flax.nnx.Rngs(0)",
)  # fmt: skip
_HAIKU = Naming(
    constructor="haiku.BatchNorm", channels=None, momentum="decay_rate", momentum_weighs="old", momentum_default=None,
    epsilon="eps", epsilon_default=1e-5, gamma="scale", beta="offset", running_mean="mean_ema/average",
    running_var="var_ema/average", layout="either", layout_default="last",
    axis_second='data_format="NC..."', axis_last='data_format="N...C"', always="create_scale=True, create_offset=True",
    shape="(1, ..., channels), or (1, channels, 1, ...) of channels second",
    note="beside each average there are hidden, its biased form, and counter: a state that is put in counts no update",
)  # fmt: skip
_EQUINOX = Naming(
    constructor="equinox.nn.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="old",
    momentum_default=0.99, epsilon="eps", epsilon_default=1e-5, gamma="weight", beta="bias",
    running_mean="state, first of the pair", running_var="state, second of the pair", layout="second",
    always='axis_name="batch", mode="batch"',
    note="in mode batch the state is debiased by its counter: put a large one beside a state that comes from elsewhere",
)  # fmt: skip
_EQUINOX_EMA = replace(
    _EQUINOX, always='axis_name="batch", mode="ema"',
    note="beside the pair there is a flag that is true before any update",
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
    layout_default="second", axis_second='data_format="NCHW"', axis_last='data_format="NHWC"',
)  # fmt: skip
_MXNET = Naming(
    constructor="mxnet.gluon.nn.BatchNorm", channels=None, momentum="momentum", momentum_weighs="old",
    momentum_default=0.9, epsilon="epsilon", epsilon_default=1e-5, gamma="gamma", beta="beta",
    running_mean="running_mean", running_var="running_var", layout="either",
    layout_default="second", axis_second="axis=1", axis_last="axis=-1",
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
    layout_default="last", axis_second='data_format="NCHW"', axis_last='data_format="NHWC"',
    note="a call in training returns the new mean and variance; they are yours to keep",
)  # fmt: skip
_TF_FUNCTIONS = Naming(
    constructor="tf.nn.batch_normalization", channels=None, momentum="weight", momentum_weighs="new",
    momentum_default=None, epsilon="variance_epsilon", epsilon_default=None, gamma="scale", beta="offset",
    running_mean="mean", running_var="variance", layout="either", layout_default="last",
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

_JULIA = "its arrays are column-major: (N, C, H, W) of NumPy is (W, H, C, N) there, the same bytes"
_MATLAB = Naming(
    constructor="batchNormalizationLayer", channels=None, momentum="MeanDecay", twin="VarianceDecay",
    momentum_weighs="new", momentum_default=0.1, epsilon="Epsilon", epsilon_default=1e-5, gamma="Scale", beta="Offset",
    running_mean="TrainedMean", running_var="TrainedVariance", layout="second",
    shape="(1, 1, channels) of images, (channels, 1) of features",
    note="arrays are column-major: (N, C, H, W) of NumPy is (W, H, C, N) there, the same bytes, labelled SSCB; "
    "training keeps the state only by net.State = state; before R2023a Epsilon is 1e-5 at least",
)  # fmt: skip
_FLUX = Naming(
    constructor="Flux.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="new", momentum_default=0.1,
    epsilon="eps", epsilon_default=1e-5, gamma="γ", beta="β", running_mean="μ", running_var="σ²", layout="second",
    note=_JULIA,
)  # fmt: skip
_LUX = Naming(
    constructor="Lux.BatchNorm", channels="channels", momentum="momentum", momentum_weighs="new", momentum_default=0.1,
    epsilon="epsilon", epsilon_default=1e-5, gamma="ps.scale", beta="ps.bias", running_mean="st.running_mean",
    running_var="st.running_var", layout="second", note=_JULIA + "; parameters and state are the caller's to pass",
)  # fmt: skip

#: By the name of the adapter without its execution; the last three are modelled.
NAMINGS: dict[str, Naming] = {
    "numpy": _FORMULAS,
    "torch": _TORCH,
    "torch-functional": _TORCH_FUNCTION,
    "torch-func": _TORCH,
    "keras-tensorflow": _KERAS,
    "keras-jax": _KERAS,
    "keras-torch": _KERAS,
    "tf-keras-fused": replace(_KERAS_2, always="fused=True"),
    "tf-keras-unfused": replace(_KERAS_2, always="fused=False"),
    "tf-keras-v1": _KERAS_V1,
    "tensorflow-fused": _TF_FUSED,
    "tensorflow-nn": _TF_FUNCTIONS,
    "flax-linen": _LINEN,
    "flax-linen-two-pass": replace(_LINEN, always="use_fast_variance=False"),
    "flax-nnx": _NNX,
    "haiku": _HAIKU,
    "equinox-batch": _EQUINOX,
    "equinox-ema": _EQUINOX_EMA,
    "mlx": _MLX,
    "paddle": _PADDLE,
    "mxnet": _MXNET,
    "tinygrad": _TINYGRAD,
    "onnx-reference-9": _ONNX,
    "onnx-reference-14": _ONNX,
    "onnx-reference-15": _ONNX,
    "onnxruntime": _ONNX,
    "matlab": _MATLAB,
    "flux": _FLUX,
    "lux": _LUX,
}


#: Why a layer cannot be carried to or from some that come with the suite.
WITHOUT_STATE = {
    "stax": "stax.BatchNorm keeps no running statistics, but evaluates with its batch: there is no state to carry",
}


def naming_of(adapter: str) -> Naming | None:
    """Return the names of an adapter, whatever its execution; ``None`` if nobody wrote them down."""
    return NAMINGS.get(adapter.partition(":")[0])
