// Console lines that name their request. Among several invocations the platform cannot tell whose a line is; the async
// context can.

import { format } from 'node:util';

const LEVELS = { debug: 'debug', trace: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error' };

/** Makes `console` write JSON lines with the id of the request in whose context they are written. */
export function relayConsole(current) {
  for (const [method, level] of Object.entries(LEVELS)) {
    console[method] = (...parts) => {
      const line = { level, requestId: current.getStore()?.id, message: format(...parts) };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    };
  }
}
