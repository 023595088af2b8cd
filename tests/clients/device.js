// Many PouchDB devices in one process, driven by JSON lines.
//
//     → {"n": 1, "device": "phone", "op": "put", "args": [{"_id": "a"}]}
//     ← {"n": 1, "ok": …}   or   {"n": 1, "error": {"name", "status", "reason", …}}
//
// Requests are answered as they finish, in any order. Attachment bytes cross as base64. Ends when stdin ends.
"use strict";

const readline = require("readline");
const PouchDB = require("pouchdb");
PouchDB.plugin(require("pouchdb-adapter-memory"));
// A device that loses its connection tries again soon: tests do not wait for PouchDB's own back-off.
const backOff = () => 100;

const devices = new Map();

function plainError(error) {
  const names = ["name", "status", "error", "reason", "message", "id", "docId"];
  const entries = names.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]);
  return Object.fromEntries(entries);
}

const REPEATED = 600;

// A reply and its body; one that breaks off or is an error of the server is asked for again, up to `again` times.
async function whole(address, options, again) {
  try {
    const reply = await PouchDB.fetch(address, options);
    const body = await reply.buffer();
    if (reply.status < 500 || again === 0) return { reply, body };
  } catch (error) {
    if (again === 0 || (options.signal && options.signal.aborted)) throw error;
  }
  await sleep(100);
  return whole(address, options, again - 1);
}

class Device {
  constructor(name, { adapter, directory }) {
    this.db = adapter === "memory" ? new PouchDB(name, { adapter }) : new PouchDB(directory);
    this.requests = [];
    this.wire = [];
    this.lives = new Map();
  }

  // The remote database, with an eye on what crosses the wire: each request, and the bytes of each reply.
  //
  // `steady`: a `_changes` that fails is repeated before PouchDB hears of it. If it does while a batch is being written,
  // PouchDB 9 forgets the batches that wait (`abortReplication`), yet goes on from behind them when that one is written,
  // and sets the next checkpoint there: what it was told of in between it never asks for.
  remote(url, auth, steady) {
    const watched = async (address, options) => {
      const { pathname, search } = new URL(address);
      const entry = { method: options.method || "GET", path: pathname, query: search, body: null, status: null };
      if (typeof options.body === "string") entry.body = options.body;
      this.requests.push(entry);
      const again = steady && pathname.endsWith("/_changes") ? REPEATED : 0;
      const { reply, body } = await whole(address, options, again);
      entry.status = reply.status;
      this.wire.push(body);
      return new reply.constructor(body, { status: reply.status, headers: reply.headers, url: reply.url });
    };
    const credentials = auth ? { username: auth[0], password: auth[1] } : undefined;
    return new PouchDB(url, { skip_setup: true, auth: credentials, fetch: watched });
  }

  handler(direction, url, { auth, steady, ...options }) {
    const remote = this.remote(url, auth, steady);
    const settings = { back_off_function: backOff, ...options };
    if (direction === "pull") return this.db.replicate.from(remote, settings);
    if (direction === "push") return this.db.replicate.to(remote, settings);
    return this.db.sync(remote, settings);
  }
}

function watch(handler) {
  const seen = { denied: [], errors: [], changes: 0, paused: false, active: 0, done: false };
  const refused = (event) => {
    const { direction, doc } = event;
    seen.denied.push({ direction, ...plainError(doc && doc.doc ? doc.doc : doc || event) });
  };
  handler.on("denied", refused);
  handler.on("change", () => (seen.changes += 1));
  handler.on("active", () => ((seen.paused = false), (seen.active += 1)));
  handler.on("paused", (error) => {
    seen.paused = true;
    if (error) seen.errors.push(plainError(error));
  });
  handler.on("error", (error) => seen.errors.push(plainError(error)));
  return seen;
}

function counts(side) {
  if (!side) return null;
  const { ok, docs_read, docs_written, doc_write_failures, errors, last_seq } = side;
  return { ok, docs_read, docs_written, doc_write_failures, errors: (errors || []).map(plainError), last_seq };
}

const sleep = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));

async function until(condition, milliseconds, what) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`gave up waiting for ${what}`);
    await sleep(20);
  }
}

function within(milliseconds, device, promise) {
  let timer;
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const open = device.requests.filter(({ status }) => status === null).map(({ path, query }) => path + query);
      reject(Object.assign(new Error(`gave up a replication; open: ${open.join(" ")}`), { gaveUp: true }));
    }, milliseconds);
  });
  return Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

const matches = (doc, fields) =>
  Object.entries(fields).every(([name, value]) => JSON.stringify(doc[name]) === JSON.stringify(value));

// One function for each operation: (device, ...args) → JSON.
const operations = {
  put: (device, doc, options) => device.db.put(doc, options || {}),
  get: (device, id, options) => device.db.get(id, options || {}),
  remove: async (device, id) => device.db.remove(await device.db.get(id)),
  bulkDocs: (device, docs, options) => device.db.bulkDocs(docs, options || {}),
  allDocs: (device, options) => device.db.allDocs(options || {}),
  changes: (device, options) => device.db.changes(options || {}),
  info: (device) => device.db.info(),

  putAttachment: (device, id, name, rev, data, type) =>
    device.db.putAttachment(id, name, rev, Buffer.from(data, "base64"), type),
  removeAttachment: (device, id, name, rev) => device.db.removeAttachment(id, name, rev),
  getAttachment: async (device, id, name, options) =>
    (await device.db.getAttachment(id, name, options || {})).toString("base64"),

  // `patience`: milliseconds after which it is given up, with the requests that are still open.
  async replicate(device, direction, url, { patience, ...options }) {
    const before = device.requests.length;
    const handler = device.handler(direction, url, options);
    const seen = watch(handler);
    let result = null;
    let error = null;
    try {
      result = await (patience ? within(patience, device, handler) : handler);
    } catch (failure) {
      if (failure.gaveUp) throw failure;
      result = failure.result || null;
      error = plainError(failure);
    }
    const sides = direction === "sync" ? { pull: counts(result?.pull), push: counts(result?.push) } : counts(result);
    return { ...sides, denied: seen.denied, error, requests: device.requests.slice(before) };
  },

  async liveStart(device, name, direction, url, options) {
    const handler = device.handler(direction, url, { live: true, retry: true, ...options });
    const seen = watch(handler);
    const finished = handler.then(
      () => (seen.done = true),
      (error) => ((seen.done = true), seen.errors.push(plainError(error))),
    );
    device.lives.set(name, { handler, seen, finished });
  },
  liveState: (device, name) => device.lives.get(name).seen,
  async liveStop(device, name) {
    const { handler, seen, finished } = device.lives.get(name);
    device.lives.delete(name);
    handler.cancel();
    await finished;
    return seen;
  },

  untilIdle: (device, name, milliseconds) =>
    until(() => device.lives.get(name).seen.paused, milliseconds, "an idle replication"),
  untilDoc: (device, id, fields, milliseconds) =>
    until(
      async () => {
        const doc = await device.db.get(id, { conflicts: true }).catch(() => null);
        return doc && matches(doc, fields) ? doc : null;
      },
      milliseconds,
      `${id} with ${JSON.stringify(fields)}`,
    ),
  untilGone: (device, id, milliseconds) =>
    until(
      () => device.db.get(id).then(() => false, (error) => error.status === 404),
      milliseconds,
      `${id} to be gone`,
    ),
  untilDenied: (device, name, milliseconds) =>
    until(() => device.lives.get(name).seen.denied.length > 0, milliseconds, "a refused write"),

  requests: (device) => device.requests,
  // Which of these texts came over the wire to this device, in whatever reply.
  received: (device, texts) => {
    const wire = Buffer.concat(device.wire);
    return texts.filter((text) => wire.includes(text));
  },
  forget: (device) => {
    device.requests = [];
    device.wire = [];
  },

  async close(device) {
    for (const { handler } of device.lives.values()) handler.cancel();
    await device.db.close();
  },
  async destroy(device) {
    for (const { handler } of device.lives.values()) handler.cancel();
    await device.db.destroy();
  },
};

async function answer({ device: name, op, args }) {
  if (op === "open") {
    devices.set(name, new Device(name, args[0]));
    return null;
  }
  const device = devices.get(name);
  const value = await operations[op](device, ...args);
  if (op === "close" || op === "destroy") devices.delete(name);
  return value === undefined ? null : value;
}

// PouchDB leaves promises without a handler when a server goes away during a live replication. In a browser that is a
// line in the console; the replication itself reports its errors by its own events.
process.on("unhandledRejection", () => {});

function send(message) {
  process.stdout.write(JSON.stringify(message) + "\n");
}

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const request = JSON.parse(line);
  answer(request).then(
    (ok) => send({ n: request.n, ok }),
    (error) => send({ n: request.n, error: plainError(error) }),
  );
});
lines.on("close", () => process.exit(0));
