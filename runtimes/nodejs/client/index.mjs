// The runtime client for Node: fetches invocations from the Lambda Runtime API and gives them to the function's handler.
//
//     node index.mjs HANDLER          (or _HANDLER in the environment)
//
// With AWS_LAMBDA_MAX_CONCURRENCY above 1 it takes that many invocations at once, in this one process.

import { AsyncLocalStorage } from 'node:async_hooks';

import { relayConsole } from './console.mjs';
import { makeContext } from './context.mjs';
import { describe, logError } from './errors.mjs';
import { loadHandler } from './handler.mjs';
import { invoke } from './invoke.mjs';
import { RuntimeApi } from './runtime-api.mjs';
import { installStreaming } from './stream.mjs';

// Exit codes as Lambda's own client has them: it makes no difference to the platform, but to who reads logs.
const EXIT_INIT = 1;
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;

const api = new RuntimeApi(process.env.AWS_LAMBDA_RUNTIME_API);
const concurrency = Math.max(1, Number.parseInt(process.env.AWS_LAMBDA_MAX_CONCURRENCY ?? '1', 10) || 1);
const current = new AsyncLocalStorage();
/** The invocations that the handler works on. */
const inFlight = new Set();
let initialized = false;

async function main() {
  installStreaming();
  if (concurrency > 1) relayConsole(current);
  process.on('uncaughtException', (error) => die(error, undefined, EXIT_EXCEPTION));
  process.on('unhandledRejection', (reason) =>
    die(reason, 'Runtime.UnhandledPromiseRejection', EXIT_REJECTION));
  process.on('beforeExit', onEmptyEventLoop);

  let handler;
  try {
    const name = process.argv[2] || process.env._HANDLER || '';
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT || process.cwd(), name);
  } catch (error) {
    return die(error, undefined, EXIT_INIT);
  }
  initialized = true;
  await Promise.all(Array.from({ length: concurrency }, () => work(handler)));
}

async function work(handler) {
  for (;;) {
    const request = await api.next();
    const context = makeContext(request);
    if (concurrency === 1) {
      if (request.traceId) process.env._X_AMZN_TRACE_ID = request.traceId;
      else delete process.env._X_AMZN_TRACE_ID;
    }
    const invocation = { id: request.id, onEmptyEventLoop: undefined };
    inFlight.add(invocation);
    try {
      await current.run(request, () => invoke({ api, handler, request, context, invocation, concurrency }));
    } finally {
      inFlight.delete(invocation);
    }
  }
}

/** Nothing is left to wait for: whoever waited for that, or waits in vain, hears of it. */
function onEmptyEventLoop() {
  for (const invocation of inFlight) invocation.onEmptyEventLoop?.();
}

/** An error that nobody caught ends the process; who waits for an answer gets it first. */
async function die(error, type, code) {
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  // The first error is the one that counts; another must not end the process before the first is told.
  process.on('uncaughtException', () => {});
  process.on('unhandledRejection', () => {});
  const description = describe(error, type);
  logError(description);
  try {
    if (initialized) {
      await Promise.all([...inFlight].map(({ id }) => api.error(id, description)));
    } else {
      await api.initError(description);
    }
  } finally {
    process.exit(code);
  }
}

main().catch((error) => die(error, undefined, EXIT_EXCEPTION));
