// The host: `node host.mjs --backend cpu|wasm` answers the requests of docs/protocol.md on its pipes.

import { createRequire } from "node:module";
import path from "node:path";

import * as tf from "@tensorflow/tfjs-core";

import { readFrame, writeFrame } from "./frames.mjs";
import { play } from "./play.mjs";

// Standard output belongs to the protocol.
console.log = console.info = console.debug = console.error;

const backend = process.argv[process.argv.indexOf("--backend") + 1];
if (!["cpu", "wasm"].includes(backend)) {
  console.error("usage: node host.mjs --backend cpu|wasm");
  process.exit(2);
}

async function start() {
  if (backend === "wasm") {
    const wasm = await import("@tensorflow/tfjs-backend-wasm");
    const entry = createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm");
    wasm.setWasmPaths(path.dirname(entry) + path.sep);
    wasm.setThreadsCount(1);
  } else {
    await import("@tensorflow/tfjs-backend-cpu");
  }
  if (!(await tf.setBackend(backend))) throw new Error(`the backend ${backend} cannot be had here`);
  await tf.ready();
}

function describe() {
  return {
    implementation: {
      name: "tfjs", versions: { tfjs: tf.version_core, node: process.versions.node },
      // The backends are two ways to execute one program.
      execution: backend === "cpu" ? "js" : "wasm", device: "cpu",
      documentation: "https://js.tensorflow.org/api/latest/#layers.batchNormalization", settings: { backend },
    },
    abilities: [],
  };
}

async function answer({ message, arrays }) {
  if (message.op === "describe") return [describe(), {}];
  if (message.op !== "run") throw Object.assign(new Error(`found the op ${message.op}, expected describe, run or exit`), { step: "protocol" });
  tf.engine().startScope();
  try {
    return await play(message, arrays);
  } finally {
    tf.engine().endScope();
  }
}

const failed = (step, error) => ({
  error: { step, type: error.constructor.name, message: error.message, traceback: error.stack ?? "" },
});

let broken = null;
try {
  await start();
} catch (error) {
  broken = error;
}
for (let frame = readFrame(0); frame !== null && frame.message.op !== "exit"; frame = readFrame(0)) {
  try {
    if (broken !== null) throw Object.assign(broken, { step: "import" });
    writeFrame(1, frame.token, ...(await answer(frame)));
  } catch (error) {
    writeFrame(1, frame.token, failed(error.step ?? "run", error));
  }
}
process.exit(0);
