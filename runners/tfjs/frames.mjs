// Messages of docs/protocol.md: safetensors images over the pipes, read and written synchronously.

import fs from "node:fs";

const WIDTHS = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 };
const VIEWS = {
  F64: Float64Array, F32: Float32Array, F16: Uint16Array, BF16: Uint16Array, I64: BigInt64Array, I32: Int32Array,
  I16: Int16Array, I8: Int8Array, U64: BigUint64Array, U32: Uint32Array, U16: Uint16Array, U8: Uint8Array, BOOL: Uint8Array,
};

/** Return the next message with its arrays by name, or null where the pipe has ended. */
export function readFrame(descriptor) {
  const head = readExactly(descriptor, 8);
  if (head === null) return null;
  const header = JSON.parse(readExactly(descriptor, Number(head.readBigUInt64LE())).toString("utf8"));
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  const length = Math.max(0, ...entries.map(([, entry]) => entry.data_offsets[1]));
  const data = readExactly(descriptor, length);
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of entries) {
    const bytes = new Uint8Array(data.subarray(begin, end)); // a copy of its own, so that it is aligned
    arrays[name] = { dtype, shape, values: new VIEWS[dtype](bytes.buffer) };
  }
  return { message: JSON.parse(header.__metadata__.message), arrays, token: header.__metadata__.token ?? "" };
}

/** Write a message with its arrays, each `{dtype, shape, values}`, and the token of the request that it answers. */
export function writeFrame(descriptor, token, message, arrays = {}) {
  const header = { __metadata__: { message: JSON.stringify(message), ...(token && { token }) } };
  const parts = [];
  let end = 0;
  const widest = Object.entries(arrays).sort(([, a], [, b]) => WIDTHS[b.dtype] - WIDTHS[a.dtype]);
  for (const [name, { dtype, shape, values }] of widest) {
    const begin = end;
    end += values.byteLength;
    header[name] = { dtype, shape, data_offsets: [begin, end] };
    parts.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  }
  const text = Buffer.from(JSON.stringify(header), "utf8");
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  writeAll(descriptor, Buffer.concat([size, padded, ...parts]));
}

function readExactly(descriptor, count) {
  const buffer = Buffer.alloc(count);
  let got = 0;
  while (got < count) {
    const more = retried(() => fs.readSync(descriptor, buffer, got, count - got, null));
    if (more === 0) {
      if (got === 0) return null;
      throw new Error(`the pipe closed within a message, ${got} of ${count} bytes into a part of it`);
    }
    got += more;
  }
  return buffer;
}

function writeAll(descriptor, buffer) {
  for (let sent = 0; sent < buffer.length; ) {
    sent += retried(() => fs.writeSync(descriptor, buffer, sent, buffer.length - sent));
  }
}

function retried(act) {
  for (;;) {
    try {
      return act();
    } catch (error) {
      if (error.code === "EOF") return 0;
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
