// Loaded by mocha after PouchDB's own set-up, when COUCH_HOST is the proxy and SOURCE is what stands behind it.
//
// The suite makes databases with a new name for each test, and deletes them. The proxy shows those that are configured,
// and neither makes nor deletes any. So the names become those of DATABASES, in turn, and the source is asked to make
// and delete them. All other requests go to the proxy.
const http = require('http');

const proxy = new URL(process.env.COUCH_HOST);
const source = new URL(process.env.SOURCE);
const names = process.env.DATABASES.split(',');
let turn = 0;

const adapterUrl = testUtils.adapterUrl;
testUtils.adapterUrl = (adapter, name) =>
  adapter === 'http' && name ? `${testUtils.couchHost()}/${names[turn++ % names.length]}` : adapterUrl(adapter, name);

const request = http.request;
http.request = (options, ...rest) => {
  const administers = ['PUT', 'DELETE'].includes(options.method) && /^\/[^/?]+\/?$/.test(options.path);
  return administers && options.port === proxy.port
    ? request({ ...options, host: source.host, hostname: source.hostname, port: source.port }, ...rest)
    : request(options, ...rest);
};
