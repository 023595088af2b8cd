// mikeal's `replicate`: pipes each missing revision from a GET of one database into a PUT of the other.
"use strict";

const replicate = require("replicate");
const { serve, until } = require("./lines");

const pushed = [];
const failed = [];

const plain = ({ id, rev, error }) => ({ id, rev, error: error && String(error) });

serve({
  // What was piped, and what was not; it hands over an object instead of a list when there was nothing to do.
  run: (from, to) =>
    new Promise((resolve) => replicate(from, to, (results) => resolve([].concat(results).filter(({ id }) => id).map(plain)))),
  continuous: (from, to) => {
    const replicator = new replicate.Replicator({ from, to });
    replicator.on("pushed", (each) => pushed.push(plain(each)));
    replicator.on("failed", (each) => failed.push(plain(each)));
    replicator.continuous();
  },
  untilPushed: async (id, rev) => {
    await until(() => pushed.some((each) => each.id === id && each.rev === rev), `${rev} of ${id} to be piped`);
    return failed;
  },
});
