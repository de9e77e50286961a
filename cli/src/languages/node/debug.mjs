// The client, with a debugger's door open:
//
//     node debug.mjs PORT HANDLER
//
// While a function is reloaded, the process before may still hold the port: it is tried again for a while, without a word to
// the log each time, as --inspect would have it.

import inspector from 'node:inspector';
import net from 'node:net';

const port = Number(process.argv[2]);
process.argv.splice(2, 1);

/** Whether nobody has the port. */
function isFree() {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

async function open() {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    if (await isFree()) {
      inspector.open(port, '127.0.0.1');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.error(`[WARN] port ${port} is in use: no debugger can attach`);
}

await open();
await import('./index.mjs');
