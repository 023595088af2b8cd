// An RxDB collection that replicates by its CouchDB plugin.
"use strict";

const { createRxDatabase } = require("rxdb");
const { getRxStorageMemory } = require("rxdb/plugins/storage-memory");
const { replicateCouchDB, getFetchWithCouchDBAuthorization } = require("rxdb/plugins/replication-couchdb");
const { serve, until } = require("./lines");

const schema = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: { id: { type: "string", maxLength: 100 } },
};

let database;
let patients;
let replication;
const errors = [];

const found = (id) => patients.findOne(id).exec();

serve({
  open: async (name) => {
    database = await createRxDatabase({ name, storage: getRxStorageMemory(), multiInstance: false });
    ({ patients } = await database.addCollections({ patients: { schema } }));
  },
  start: async (url, user, password) => {
    replication = replicateCouchDB({
      replicationIdentifier: "patients",
      collection: patients,
      url: `${url}/`,
      fetch: getFetchWithCouchDBAuthorization(user, password),
      live: true,
      retryTime: 200,
      pull: { batchSize: 2 },
      push: { batchSize: 2 },
    });
    replication.error$.subscribe((error) => errors.push(error.message));
    await replication.awaitInitialReplication();
  },
  untilError: (text) => until(() => errors.find((message) => message.includes(text)), `an error with ${text}`),
  untilInSync: () => replication.awaitInSync(),
  stop: async () => {
    await replication.cancel();
    return errors;
  },
  insert: async (doc) => {
    await patients.insert(doc);
  },
  edit: async (id, fields) => {
    await (await found(id)).incrementalPatch(fields);
  },
  remove: async (id) => {
    await (await found(id)).incrementalRemove();
  },
  docs: async () => (await patients.find().exec()).map((doc) => doc.toJSON()),
  untilName: (id, name) => until(async () => (await found(id))?.get("name") === name, `${id} to be called ${name}`),
  untilGone: (id) => until(async () => !(await found(id)), `${id} to be gone`),
  // Which of these values are anywhere in the storage, deleted documents and the replication's own included.
  stored: async (values) => {
    const all = JSON.stringify(
      [...patients.storageInstance.internals.documents.values()].concat(
        [...replication.metaInstance.internals.documents.values()],
      ),
    );
    return values.filter((value) => all.includes(Buffer.from(value, "base64").toString()));
  },
});
