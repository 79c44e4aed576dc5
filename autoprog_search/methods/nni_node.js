// Loaded into NNI's node manager before it starts (node --require).
'use strict';

// NNI's manager listens on every network interface, and whoever reaches its portal can stop the experiment: loopback only.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const open = typeof port === 'number' && typeof rest[0] !== 'string';
  return open ? listen.call(this, port, '127.0.0.1', ...rest) : listen.call(this, port, ...rest);
};

// It outlives a parent that is killed: then it is to end as when it is asked to, with its trials.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM');
}, 1000).unref();
