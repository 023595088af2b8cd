// couchbackup: a backup into a file, and the file restored.
"use strict";

const fs = require("fs");
const couchbackup = require("@cloudant/couchbackup");
const { serve } = require("./lines");

const finished = (start) =>
  new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result))));

serve({
  backup: (url, file, options) => finished((done) => couchbackup.backup(url, fs.createWriteStream(file), options, done)),
  restore: (file, url, options) => finished((done) => couchbackup.restore(fs.createReadStream(file), url, options, done)),
});
