// One PouchDB of any version, over a store in memory whose every byte can be searched.
//
//     node pouchdb.js 3|4|5|6|7|8|9
"use strict";

const { store, stored } = require("./memory");
const { serve, until } = require("./lines");

const major = process.argv[2];

if (major === "3") {
  // Node had neither when this version was made; it takes them for a browser's and gives them what they refuse.
  delete globalThis.atob;
  delete globalThis.btoa;
}

function load() {
  if (major === "6") {
    // The whole package needs a compiler; its parts do not.
    const parts = ["adapter-http", "adapter-memory", "mapreduce", "replication"];
    return parts.reduce((core, part) => core.plugin(require(`pouchdb-6-${part}`)), require("pouchdb-6-core"));
  }
  if (major === "9") return require("pouchdb").plugin(require("pouchdb-adapter-memory"));
  return require(`pouchdb-${major}`);
}

const PouchDB = load();
let db;
let live;
const memory = { db: store, ...(["6", "9"].includes(major) ? { adapter: "memory" } : {}) };

const plain = ({ ok, docs_read, docs_written, doc_write_failures, last_seq, status }) => ({
  ok,
  docs_read,
  docs_written,
  doc_write_failures,
  last_seq,
  status,
});

serve({
  version: () => PouchDB.version,
  open: (name) => {
    db = new PouchDB(name, memory);
  },
  put: (doc) => db.put(doc),
  edit: async (id, fields) => db.put({ ...(await db.get(id)), ...fields }),
  remove: async (id) => db.remove(await db.get(id)),
  get: (id, options) => db.get(id, options || {}),
  allDocs: async () => (await db.allDocs({ include_docs: true })).rows.map((row) => row.doc),
  attach: async (id, name, base64, type) =>
    db.putAttachment(id, name, (await db.get(id))._rev, Buffer.from(base64, "base64"), type),
  attachment: async (id, name) => (await db.getAttachment(id, name)).toString("base64"),
  pull: async (url, options) => plain(await db.replicate.from(url, options)),
  push: async (url, options) => plain(await db.replicate.to(url, options)),
  // The status of the error that ends it: 5 and before report it in a result, later ones reject.
  refusedPull: (url, options) =>
    db.replicate.from(url, options).then(
      (result) => (result.ok ? null : result.errors[0].status),
      (error) => error.status,
    ),
  liveStart: (url) => {
    live = { denied: 0, finished: false, interruptions: 0 };
    const options = { live: true, retry: true, back_off_function: () => 100 };
    live.replication = db.sync(url, options);
    const finished = () => (live.finished = true);
    // PouchDB says that it waits, and why, by `paused` with an error.
    for (const each of [live.replication.pull, live.replication.push])
      each.on("paused", (error) => (live.interruptions += error ? 1 : 0));
    live.replication.on("denied", () => (live.denied += 1));
    live.replication.on("complete", finished).on("error", finished);
    live.replication.catch(finished);
  },
  untilInterrupted: async () => {
    await until(() => live.interruptions > 0, "the outage to be noticed");
    live.interruptions = 0;
  },
  liveStop: async () => {
    live.replication.cancel();
    return live.denied;
  },
  untilName: (id, name) =>
    until(
      async () => (await db.get(id).catch(() => ({}))).name === name,
      `${id} to be called ${name}`,
    ),
  untilGone: (id) =>
    until(
      () =>
        db.get(id).then(
          () => false,
          (error) => error.status === 404,
        ),
      `${id} to be gone`,
    ),
  stored,
});
