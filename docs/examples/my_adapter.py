"""Batch normalisation in plain NumPy, put to the suite from outside: ``--adapter my_adapter:Adapter``."""

import numpy as np

from conformance.adapters import contract
from conformance.definition.dialect import Dialect


class Adapter(contract.Adapter):
    def describe(self):
        return contract.Implementation(name="mine", versions={"mine": "1.0", "numpy": np.__version__})

    def dialect_for(self, layer):
        return Dialect(running_variance="population", statistics_gradient="constant")

    def unsupported(self, case):
        return "momentum is a number here" if case.momentum == "cumulative" else None

    def create(self, layer, state):
        return Layer(layer, state)


class Layer:
    def __init__(self, layer, state):
        self.config, one, zero = layer, np.ones(layer.channels), np.zeros(layer.channels)
        initial = {"gamma": one, "beta": zero, "running_mean": zero, "running_var": one}
        self.held = {name: np.asarray(state.get(name, initial[name]), layer.param_dtype) for name in initial}

    def forward(self, x, mode):
        axes, a = (0, *range(2, x.ndim)), self.config.momentum  # a weighs the new batch
        statistics = {"running_mean": x.mean(axes), "running_var": x.var(axes)}
        now = self.held | statistics if mode == "train" else dict(self.held)
        if mode == "train":
            for name, batch in statistics.items():
                self.held[name] = ((1 - a) * self.held[name] + a * batch).astype(self.config.param_dtype)
        return Forward(x, mode, axes, self.config.epsilon, now)

    def get_state(self):
        return self.held

    def set_state(self, state):
        self.held |= state


class Forward:
    def __init__(self, x, mode, axes, epsilon, now):
        gamma, beta, mean, var = (now[name].reshape(-1, *(1,) * (x.ndim - 2)) for name in now)
        self.train, self.axes, self.slope = mode == "train", axes, gamma / np.sqrt(var + epsilon)
        self.xhat = (x - mean) / np.sqrt(var + epsilon)
        self.y = gamma * self.xhat + beta

    def backward(self, dy, wrt):
        found = {"gamma": (dy * self.xhat).sum(self.axes), "beta": dy.sum(self.axes), "x": self.slope * dy}
        if self.train:  # the statistics of the batch depend on x, too
            through = dy.mean(self.axes, keepdims=True) + self.xhat * (dy * self.xhat).mean(self.axes, keepdims=True)
            found["x"] = self.slope * (dy - through)
        return {name: found.get(name, np.zeros(dy.shape[1], dy.dtype)) for name in wrt}
