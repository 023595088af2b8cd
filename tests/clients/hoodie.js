// A Hoodie store, on PouchDB in memory.
"use strict";

const PouchDB = require("pouchdb");
const Store = require("@hoodie/store-client");
const { serve, until } = require("./lines");
const { store: memory, stored } = require("./memory");

let store;

serve({
  open: (name, url) => {
    // No `adapter` here: it would be that of the remote database, too.
    store = new Store(name, { PouchDB: PouchDB.defaults({ db: memory }), remote: url });
  },
  // As its account does: the session's cookie goes where PouchDB's requests take it from. The status of the answer.
  signIn: async (server, name, password) => {
    const body = JSON.stringify({ name, password });
    const headers = { "content-type": "application/json" };
    return (await PouchDB.fetch(`${server}/_session`, { method: "POST", headers, body })).status;
  },
  signOut: async (server) => (await PouchDB.fetch(`${server}/_session`, { method: "DELETE" })).status,
  pull: () => store.pull(),
  push: () => store.push(),
  sync: () => store.sync(),
  connect: () => store.connect(),
  disconnect: () => store.disconnect(),
  add: (doc) => store.add(doc),
  find: (id) => store.find(id),
  findAll: () => store.findAll(),
  update: (id, fields) => store.update(id, fields),
  remove: (id) => store.remove(id),
  untilName: (id, name) =>
    until(
      () =>
        store.find(id).then(
          (doc) => doc.name === name,
          () => false,
        ),
      `${id} to be called ${name}`,
    ),
  stored,
});
