// express-pouchdb over PouchDB on loopback, as a source for the integration suite.
//
//     node server.js DIRECTORY [PORT]
//
// Keeps its databases (LevelDB) and its configuration in DIRECTORY, so that a second start on the same directory
// serves the same data. Prints one JSON line `{"port": N}` when it listens. Administrator: admin / secret.
"use strict";

const fs = require("fs");
const path = require("path");
const express = require("express");
const PouchDB = require("pouchdb");

const [directory, port] = process.argv.slice(2);
const configPath = path.join(directory, "config.json");
if (!fs.existsSync(configPath)) {
  // The cookie secret is fixed so that sessions outlive a restart, as they do with CouchDB.
  const config = { admins: { admin: "secret" }, couch_httpd_auth: { secret: "the same after a restart" } };
  fs.writeFileSync(configPath, JSON.stringify(config));
}

PouchDB.plugin(require("pouchdb-find"));
// A directory, as PouchDB Server has it: with any other prefix `http://` is no longer read as such by its replicator.
const databases = path.join(directory, "db") + path.sep;
fs.mkdirSync(databases, { recursive: true });
const Source = PouchDB.defaults({ prefix: databases });
const app = express();
app.use(
  require("express-pouchdb")(Source, {
    configPath,
    logPath: path.join(directory, "log.txt"),
    overrideMode: { exclude: ["routes/fauxton"] },
  }),
);
const server = app.listen(Number(port) || 0, "127.0.0.1", () => {
  process.stdout.write(JSON.stringify({ port: server.address().port }) + "\n");
});
// Ends with whoever started it.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
