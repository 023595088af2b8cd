// The other end of tests/compatibility/clients/driver.py: operations by JSON lines, one after the other.
//
//     → {"op": "put", "args": [{"_id": "a"}]}
//     ← {"ok": …}   or   {"error": {"name", "status", "message", …}}
//
// Ends when stdin ends.
"use strict";

const readline = require("readline");

const sleep = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));
const PATIENCE = 30000;

// Waits until `condition` gives something true, and gives that.
async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`gave up waiting for ${what}`);
    await sleep(20);
  }
}

function plainError(error) {
  const names = ["name", "status", "statusCode", "error", "reason", "message", "stack"];
  return Object.fromEntries(names.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]));
}

function serve(operations) {
  // Clients leave promises without a handler; each reports its errors in its own way as well.
  process.on("unhandledRejection", () => {});
  const write = (message) => process.stdout.write(JSON.stringify(message) + "\n");
  const lines = readline.createInterface({ input: process.stdin });
  let last = Promise.resolve();
  lines.on("line", (line) => {
    const { op, args } = JSON.parse(line);
    last = last
      .then(() => operations[op](...args))
      .then(
        (ok) => write({ ok: ok === undefined ? null : ok }),
        (error) => write({ error: plainError(error) }),
      );
  });
  lines.on("close", () => process.exit(0));
}

module.exports = { serve, until };
