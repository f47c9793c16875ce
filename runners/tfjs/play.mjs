// Plays one case on a layer, call by call, and collects what comes of each; expects nothing.

import { DIALECT, Layer, unsupported } from "./layer.mjs";

class Outcome extends Error {
  constructor(type, message) {
    super(message);
    this.raises = { type, message };
  }
}

/** Return the answer to a `run` request, and its arrays. */
export async function play({ layer: config, network, program }, arrays) {
  const player = new Player(arrays);
  const create = await outcome(async () => {
    const state = Object.fromEntries(Object.entries(arrays).filter(([name]) => !name.includes(":")));
    if (network) throw new Outcome("Unsupported", "the runner has no create_network");
    player.layer = player.ask(() => new Layer(config, state));
  });
  const steps = [];
  if (create === null) {
    for (const [at, call] of program.entries()) steps.push({ raises: await player.take(at + 1, call) });
  }
  const answer = {
    dialect: DIALECT, unsupported: unsupported(config, program), create: { raises: create }, steps,
    seconds: player.seconds,
  };
  return [answer, player.yielded];
}

async function outcome(act) {
  try {
    await act();
    return null;
  } catch (error) {
    if (error instanceof Outcome) return error.raises;
    throw error;
  }
}

class Player {
  constructor(arrays) {
    this.arrays = arrays;
    this.forwards = {};
    this.saved = {};
    this.yielded = {};
    this.seconds = 0;
  }

  /** Do one call, then read the state; the first error of the two is reported. */
  async take(number, call) {
    const error = await outcome(() => this.call(number, call));
    if (error !== null && ["Unsupported", "NoForward"].includes(error.type)) return error;
    const wanted = call.observe.filter((name) => name !== "y");
    const unread = await outcome(async () => {
      const state = wanted.length ? this.ask(() => this.layer.state()) : {};
      for (const name of wanted) this.keep(number, name, state[name]);
    });
    return error ?? unread;
  }

  async call(number, call) {
    const lacks = {
      masks: call.masked, recomputation: call.recompute, replicas: call.replicas !== null, jvp: call.jvp?.length,
      fold: call.folded, export: call.exported, forward_automatic: call.automatic !== null,
    };
    const lacking = Object.keys(lacks).find((name) => lacks[name]);
    if (lacking !== undefined) {
      throw new Outcome("Unsupported", `the runner has no ${lacking}`);
    }
    if (call.through_update !== null) this.throughUpdate(number, call.through_update);
    else if (call.backward !== null) this.backward(number, call, this.forwards[call.backward]);
    else if (call.freeze !== null) this.ask(() => { this.layer.layer.trainable = !call.freeze; });
    else if (call.reload) await this.reload();
    else if (call.save !== null) this.saved[call.save] = this.ask(() => this.layer.state());
    else if (call.restore !== null || call.average !== null) this.putBack(call.average ?? [call.restore]);
    else if (call.converge !== null) this.converge(number, call);
    else if (call.hvp?.length || call.third) this.higherOrder(number, call);
    else this.forward(number, call);
  }

  forward(number, call) {
    const mode = call.train !== null ? "train" : "evaluate";
    const forward = this.ask(() => this.layer.forward(this.arrays[`x:${call.train ?? call.evaluate}`], mode));
    if (call.name !== null) this.forwards[call.name] = forward;
    if (call.observe.includes("y")) this.keep(number, "y", forward.y);
    if (call.gradients.length) this.backward(number, call, forward);
  }

  /** Set the state to one that was kept, or to the average of several. */
  putBack(names) {
    const states = names.map((name) => this.saved[name]);
    const put = Object.keys(states[0]).map((name) => [name, average(states.map((state) => state[name]))]);
    this.ask(() => this.layer.setState(Object.fromEntries(put)));
  }

  /** Train on one input again and again; keep how far evaluating it is from its output in train. */
  converge(number, call) {
    const output = (mode) => this.ask(() => this.layer.forward(this.arrays[`x:${call.converge}`], mode)).y.values;
    const evaluated = [output("evaluate")];
    const trained = output("train");
    for (let k = 1; k <= call.times; k += 1) {
      if (k % call.every === 0) evaluated.push(output("evaluate"));
      if (k < call.times) output("train");
    }
    const values = Float64Array.from(evaluated, (one) => meanSquare(one, trained));
    this.keep(number, "mse", { dtype: "F64", shape: [values.length], values });
  }

  backward(number, call, forward) {
    if (forward === undefined) {
      throw new Outcome("NoForward", `the forward \`${call.backward}\` failed: there is nothing to go back from`);
    }
    const found = this.ask(() => forward.backward(this.arrays[`dy:${number}`], call.gradients));
    for (const [name, gradient] of Object.entries(found)) this.keep(number, `d${name}`, gradient);
  }

  throughUpdate(number, [first, second]) {
    const [earlier, later, dy] = [`x:${first}`, `x:${second}`, `dy:${number}`].map((name) => this.arrays[name]);
    this.keep(number, "dx_earlier", this.ask(() => this.layer.throughUpdate(earlier, later, dy)));
  }

  higherOrder(number, call) {
    const mode = call.train !== null ? "train" : "evaluate";
    const x = this.arrays[`x:${call.train ?? call.evaluate}`];
    const dy = this.arrays[`dy:${number}`];
    if (call.hvp?.length) {
      const directions = Object.fromEntries(call.hvp.map((name) => [name, this.arrays[`v_${name}:${number}`]]));
      const products = this.ask(() => this.layer.hvp(x, mode, dy, directions));
      for (const [name, product] of Object.entries(products)) this.keep(number, `hvp_${name}`, product);
    }
    if (call.third) this.keep(number, "third_x", this.ask(() => this.layer.third(x, mode, dy, this.arrays[`v_x:${number}`])));
  }

  async reload() {
    try {
      this.layer = await this.layer.reload();
    } catch (error) {
      throw new Outcome(error.constructor.name, error.message);
    }
  }

  keep(number, name, array) {
    if (array !== undefined) this.yielded[`${number}:${name}`] = array;
  }

  /** Call the layer, against the clock; its errors, and no others, are outcomes. */
  ask(act) {
    const start = performance.now();
    try {
      return act();
    } catch (error) {
      throw new Outcome(error.constructor.name, error.message);
    } finally {
      this.seconds += (performance.now() - start) / 1000;
    }
  }
}

/** The average of arrays, taken in double precision, in the dtype of the first. */
function average(arrays) {
  const values = arrays[0].values.map((_, at) => arrays.reduce((total, { values: one }) => total + one[at], 0) / arrays.length);
  return { ...arrays[0], values };
}

/** The average of the squared differences, in double precision. */
function meanSquare(one, other) {
  let total = 0;
  for (let at = 0; at < one.length; at += 1) total += (one[at] - other[at]) ** 2;
  return one.length ? total / one.length : 0;
}
