// A PouchDB 9 in memory whose replications are measured: see tests/bench/replicator.py.
"use strict";

const { performance } = require("node:perf_hooks");
const PouchDB = require("pouchdb").plugin(require("pouchdb-adapter-memory"));
const { serve } = require("./lines");

const remote = (url) => new PouchDB(url, { skip_setup: true });
let db;
let opened = 0;

// `count` documents in so many milliseconds.
async function timed(replicate) {
  const began = performance.now();
  const { docs_written } = await replicate();
  return { count: docs_written, took: performance.now() - began };
}

serve({
  // An empty database in place of the one before.
  open: async () => {
    if (db) await db.destroy();
    db = new PouchDB(`replicating-${(opened += 1)}`, { adapter: "memory" });
  },
  // Stores documents; their ids and revisions.
  hold: async (docs) => (await db.bulkDocs(docs)).map(({ id, rev }) => ({ id, rev })),
  push: (url, size) => timed(() => db.replicate.to(remote(url), { batch_size: size })),
  pull: (url) => timed(() => db.replicate.from(remote(url))),
});
