// tf.layers.batchNormalization behind the calls of the protocol; channels are given to it on the last axis
// unless the second is asked for.

import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";

const NAMES = { gamma: "gamma", beta: "beta", running_mean: "movingMean", running_var: "movingVariance" };
const DTYPES = { F32: "float32", F64: "float64", F16: "float16", BF16: "bfloat16" };

export const DIALECT = {
  running_variance: "population", statistics_gradient: "leaf", update_gradient: "detached", frozen: "A",
};

/** Say why TensorFlow.js cannot be asked a case, or return null. */
export function unsupported(config, program) {
  const trains = program.some(
    (call) => [call.train, call.through_update, call.replicas, call.converge].some((one) => one !== null),
  );
  const evaluates = program.some((call) => call.evaluate !== null);
  if (config.dtype !== "float32" || config.param_dtype !== "float32") return "TensorFlow.js computes in float32 alone";
  if (config.momentum === null) return "momentum is a number: there is no cumulative average";
  if (!config.tracked && evaluates) return "batchNormalization always keeps moving statistics";
  if (config.channel_axis === "second" && config.rank > 2) {
    return "with axis 1 the layer runs through the statistics as if the channels were last: outputs are wrong, silently";
  }
  if (config.rank > 4) return "batchNormalization takes two to four dimensions";
  if (trains && !(config.gamma && config.beta)) return "training reads gamma and beta, although the layer was made without";
  if (!(config.gamma && config.beta) && program.some((call) => call.gradients.length || call.hvp?.length || call.third)) {
    return "the gradient of batchNorm reads scale and offset, although the layer was made without";
  }
  if (program.some((call) => call.masked)) return "batchNormalization takes no mask";
  if (program.some((call) => call.replicas !== null)) return "there is no synchronised batch normalisation";
  if (program.some((call) => call.folded)) return "TensorFlow.js has nothing that folds it into the layer before";
  if (program.some((call) => call.exported)) return "a model of TensorFlow.js is what others export to";
  if (program.some((call) => call.recompute)) return "there is no checkpointing";
  if (program.some((call) => call.jvp?.length)) return "there is no forward mode";
  if (program.some((call) => call.automatic !== null)) return "each call says in which mode it is: none is left to the library";
  return null;
}

/** One layer with its state. */
export class Layer {
  constructor(config, state) {
    this.config = config;
    this.last = config.channel_axis !== "second";
    this.layer = layers.layers.batchNormalization({
      axis: this.last ? -1 : 1,
      // The momentum of Keras weighs the old state.
      momentum: config.momentum === null ? undefined : 1 - config.momentum,
      epsilon: config.epsilon, scale: config.gamma, center: config.beta,
    });
    const free = new Array(config.rank - 2).fill(null);
    this.shape = this.last ? [...free, config.channels] : [config.channels, ...free];
    this.layer.build([null, ...this.shape]);
    this.layer.built = true;
    this.setState(state);
  }

  /** Call the layer; the state from before is kept, for a backward at the state that the forward had. */
  forward(x, mode) {
    const before = this.state();
    const input = this.tensor(x);
    const y = tf.tidy(() => this.call(input, mode));
    return { layer: this, input, mode, before, y: this.array(y), backward };
  }

  call(input, mode) {
    return this.layer.apply(input, { training: mode === "train" });
  }

  /** Train on one input, evaluate another; the gradient of sum(y * dy) with respect to the first. */
  throughUpdate(earlier, later, dy) {
    const first = this.tensor(earlier);
    const second = this.tensor(later);
    const [gradient] = gradients(() => {
      this.call(first, "train");
      return this.call(second, "evaluate");
    }, [first], this.tensor(dy));
    return this.array(gradient);
  }

  /** The Hessian of sum(y * dy) times directions, by name of the variable. */
  hvp(x, mode, dy, directions) {
    const held = { x: this.tensor(x), dy: this.tensor(dy), gamma: this.layer.gamma?.read() };
    const names = Object.keys(directions);
    const sources = names.map((name) => held[name]);
    const vectors = names.map((name) => (name === "gamma" ? plain(directions[name]) : this.tensor(directions[name])));
    const loss = () => tf.sum(tf.mul(this.call(held.x, mode), held.dy));
    const along = () => sum(gradients(loss, sources).map((one, at) => tf.sum(tf.mul(one, vectors[at]))));
    const found = gradients(along, sources);
    return Object.fromEntries(names.map((name, at) => [name, name === "gamma" ? given(found[at]) : this.array(found[at])]));
  }

  /** The third derivative of sum(y * dy) in x, twice along a direction. */
  third(x, mode, dy, direction) {
    const [input, upstream, vector] = [x, dy, direction].map((one) => this.tensor(one));
    const loss = () => tf.sum(tf.mul(this.call(input, mode), upstream));
    const once = () => tf.sum(tf.mul(gradients(loss, [input])[0], vector));
    const twice = () => tf.sum(tf.mul(gradients(once, [input])[0], vector));
    return this.array(gradients(twice, [input])[0]);
  }

  /** A layer that has loaded what a model of this one saved. */
  async reload() {
    const model = layers.sequential();
    model.add(layers.layers.inputLayer({ inputShape: this.shape }));
    const fresh = new Layer(this.config, {});
    fresh.layer = layers.layers.batchNormalization(this.layer.getConfig());
    const first = layers.layers.batchNormalization({ ...this.layer.getConfig(), name: `${this.layer.name}_saved` });
    model.add(first);
    first.setWeights(this.layer.getWeights());
    let saved = null;
    await model.save(tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
    }));
    const loaded = await layers.loadLayersModel(tf.io.fromMemory(saved));
    fresh.layer = loaded.layers[loaded.layers.length - 1];
    return fresh;
  }

  /** Running mean and running variance, as arrays. */
  state() {
    return { running_mean: given(this.layer.movingMean.read()), running_var: given(this.layer.movingVariance.read()) };
  }

  setState(state) {
    for (const [name, attribute] of Object.entries(NAMES)) {
      if (state[name] !== undefined && this.layer[attribute]) this.layer[attribute].write(plain(state[name]));
    }
  }

  tensor(array) {
    const tensor = plain(array);
    const rank = tensor.rank;
    return this.last && rank > 2 ? tf.transpose(tensor, [0, ...range(2, rank), 1]) : tensor;
  }

  array(tensor) {
    const rank = tensor.rank;
    return given(this.last && rank > 2 ? tf.transpose(tensor, [0, rank - 1, ...range(1, rank - 1)]) : tensor);
  }
}

/** The gradients of sum(y * dy) by name: TensorFlow.js computes them in one call with the forward. */
function backward(dy, wrt) {
  const { layer, input, mode, before } = this;
  const sources = wrt.map((name) => (name === "x" ? input : layer.layer[NAMES[name]]?.read()));
  const asked = wrt.map((name, at) => [name, sources[at]]).filter(([, source]) => source !== undefined);
  const now = layer.state();
  layer.setState(before);
  try {
    const found = gradients(() => layer.call(input, mode), asked.map(([, source]) => source), layer.tensor(dy));
    return Object.fromEntries(asked.map(([name], at) => [name, name === "x" ? layer.array(found[at]) : given(found[at])]));
  } finally {
    layer.setState(now);
  }
}

/** What y does not depend on has no gradient there; it is zero. */
function gradients(f, sources, dy) {
  const { grads } = tf.engine().gradients(f, sources, dy, true);
  return grads.map((one, at) => one ?? tf.zerosLike(sources[at]));
}

function plain({ dtype, shape, values }) {
  return tf.tensor(values, shape, DTYPES[dtype]);
}

function given(tensor) {
  return { dtype: tensor.dtype === "float32" ? "F32" : "I32", shape: tensor.shape, values: tensor.dataSync().slice() };
}

function sum(scalars) {
  return scalars.reduce((one, other) => tf.add(one, other));
}

function range(from, to) {
  return Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
}
