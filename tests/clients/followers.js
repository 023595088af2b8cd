// The packages that follow a changes feed.
//
//     node followers.js follow|cloudant-follow|changes-stream
"use strict";

const { serve, until } = require("./lines");

const kind = process.argv[2];
const rows = [];
const errors = [];
let stop;

const begin = {
  follow: (options) => byFeed(require("follow"), options),
  "cloudant-follow": (options) => byFeed(require("cloudant-follow"), options),
  "changes-stream": (options) => {
    const ChangesStream = require("changes-stream");
    const stream = new ChangesStream(options);
    stream.on("data", (row) => rows.push(row));
    stream.on("error", (error) => errors.push(error.message));
    return () => stream.destroy();
  },
};

function byFeed({ Feed }, options) {
  const feed = new Feed(options);
  feed.on("change", (row) => rows.push(row));
  feed.on("error", (error) => errors.push(error.message));
  feed.follow();
  return () => feed.stop();
}

serve({
  follow: (options) => {
    stop = begin[kind](options);
  },
  // All rows so far, once one about this document has these fields.
  untilRow: async (id, fields) => {
    const wanted = ({ id: about, doc, deleted }) =>
      about === id &&
      Object.entries(fields).every(([name, value]) => ({ ...doc, deleted: Boolean(deleted) })[name] === value);
    await until(() => rows.some(wanted), `a row about ${id} with ${JSON.stringify(fields)}`);
    return rows;
  },
  stop: () => {
    stop();
    return errors;
  },
});
