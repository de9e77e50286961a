// An invocation before the first one, against a Runtime API of its own: whatever Node compiles and opens only when it is used has been used once.
//
// The handler is Flint's; nothing of a function is there yet. Everything is closed again before anybody waits.

import { createServer } from 'node:http';
import { once } from 'node:events';

import { makeContext } from '/flint/client/context.mjs';
import { loadHandler } from '/flint/client/handler.mjs';
import { invoke } from '/flint/client/invoke.mjs';
import { RuntimeApi } from '/flint/client/runtime-api.mjs';

/** How often: what runs a few times is compiled, and no more is won after that. */
const TIMES = 3;

const HEADERS = {
  'Content-Type': 'application/json',
  'Lambda-Runtime-Aws-Request-Id': 'rehearsal',
  'Lambda-Runtime-Invoked-Function-Arn': 'arn:aws:lambda:us-east-1:000000000000:function:rehearsal',
};

/** Fetches an invocation, handles it and posts its answer, as a function's process does. */
export async function rehearse() {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const next = request.method === 'GET';
      response.writeHead(next ? 200 : 202, { ...HEADERS, 'Lambda-Runtime-Deadline-Ms': Date.now() + 60_000 });
      response.end(next ? '{"rawPath":"/"}' : '{"status":"OK"}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const api = new RuntimeApi(`127.0.0.1:${server.address().port}`);
  for (let time = 0; time < TIMES; time += 1) {
    const handler = await loadHandler('/flint/warm', 'rehearsal.handler');
    const request = await api.next();
    const invocation = { id: request.id, onEmptyEventLoop: undefined };
    await invoke({ api, handler, request, context: makeContext(request), invocation, concurrency: 1 });
  }
  api.agent.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}
