// A store in memory for PouchDB of any version, whose every byte can be searched: `new PouchDB(name, { db: store })`.
"use strict";

const memdown = require("memdown");

const locations = new Set();

function store(location) {
  locations.add(location);
  return memdown(location);
}
store.destroy = memdown.destroy;

// All keys and values, as one buffer.
function bytes(location) {
  return new Promise((resolve, reject) => {
    const raw = memdown(location);
    raw.open((failure) => {
      if (failure) return reject(failure);
      const all = [];
      const entries = raw.iterator({ keyAsBuffer: true, valueAsBuffer: true });
      const next = () =>
        entries.next((error, key, value) => {
          if (error) return reject(error);
          if (key === undefined) return resolve(Buffer.concat(all));
          all.push(Buffer.from(key), Buffer.from(value));
          next();
        });
      next();
    });
  });
}

// Which of these values, all in base64, are anywhere in the stores of this process.
async function stored(values) {
  const all = Buffer.concat(await Promise.all([...locations].map(bytes)));
  return values.filter((value) => all.includes(Buffer.from(value, "base64")));
}

module.exports = { store, stored };
