// IBM's SDK for Cloudant: operations by their names, with gzipped bodies as it sends them.
"use strict";

const { CloudantV1, BasicAuthenticator, ChangesFollower } = require("@ibm-cloud/cloudant");
const { serve, until } = require("./lines");

let service;
let follower;
const rows = [];

serve({
  open: (serviceUrl, username, password) => {
    const authenticator = new BasicAuthenticator({ username, password, disableSslVerification: true });
    service = new CloudantV1({ authenticator, serviceUrl });
  },
  ask: async (method, params) => (await service[method](params)).result,
  attach: async ({ data, ...params }) =>
    (await service.putAttachment({ ...params, attachment: Buffer.from(data, "base64") })).result,
  attachment: async (params) => {
    const pieces = [];
    for await (const piece of (await service.getAttachment(params)).result) pieces.push(piece);
    return Buffer.concat(pieces).toString("base64");
  },
  changes: (db) =>
    new Promise((resolve, reject) => {
      const all = [];
      const finite = new ChangesFollower(service, { db, includeDocs: true, limit: 1000 }).startOneOff();
      finite.on("data", (row) => all.push(row)).on("error", reject).on("end", () => resolve(all));
    }),
  follow: (db) => {
    follower = new ChangesFollower(service, { db, includeDocs: true, since: "0" });
    follower.start().on("data", (row) => rows.push(row));
  },
  untilRow: async (id, name) => {
    await until(() => rows.some((row) => row.id === id && row.doc.name === name), `a row about ${id}`);
    return rows;
  },
  stop: () => follower.stop(),
});
