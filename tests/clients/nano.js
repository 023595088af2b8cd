// nano: each operation is a method of a database or of the server, by name.
"use strict";

const nano = require("nano");
const { serve, until } = require("./lines");

let server;
let db;
let rows;

serve({
  open: (url, name) => {
    server = nano(url);
    db = server.use(name);
  },
  database: (method, ...args) => db[method](...args),
  attach: (id, name, base64, type, rev) => db.attachment.insert(id, name, Buffer.from(base64, "base64"), type, { rev }),
  attachment: async (id, name) => Buffer.from(await db.attachment.get(id, name)).toString("base64"),
  // The document, and its attachments as multipart/related.
  multipart: (doc, name, base64, type) =>
    db.multipart.insert(doc, [{ name, data: Buffer.from(base64, "base64"), content_type: type }], doc._id),
  getMultipart: async (id) => Buffer.from(await db.multipart.get(id)).toString("base64"),
  session: async (user, password) => [await server.auth(user, password), await server.session()],
  follow: () => {
    rows = [];
    db.changesReader.start({ since: "0", includeDocs: true, wait: false }).on("change", (row) => rows.push(row));
  },
  untilRow: async (id, name) => {
    await until(() => rows.some((row) => row.id === id && row.doc.name === name), `a row about ${id}`);
    return rows;
  },
  stop: () => db.changesReader.stop(),
});
