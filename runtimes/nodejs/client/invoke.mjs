// One invocation: the handler is called in the style that it is written in, and its answer or error is posted.

import { RuntimeError, describe, logError } from './errors.mjs';
import { isStreaming, invokeStreaming } from './stream.mjs';

/** Runs the handler and posts what comes of it. */
export async function invoke(call) {
  const { api, request } = call;
  try {
    const event = parseEvent(request.body);
    if (isStreaming(call.handler)) return await invokeStreaming({ ...call, event });
    const result = await settle(call, event);
    await api.respond(request.id, serialize(result));
  } catch (error) {
    const description = describe(error);
    logError(description);
    await api.error(request.id, description);
  }
}

/** What the handler returns, calls back with, or ends its context with; whichever is first. */
function settle({ handler, context, invocation, concurrency }, event) {
  return new Promise((resolve, reject) => {
    let settled = false;
    const finish = (error, result) => {
      if (settled) return;
      settled = true;
      invocation.onEmptyEventLoop = undefined;
      if (error !== null && error !== undefined) reject(error);
      else resolve(result);
    };
    // An answer by callback goes out when nothing else is left to do, unless the handler says otherwise. Among several
    // invocations nobody can tell whose work is left: there it goes out at once.
    const answer = (error, result) => {
      if (error || concurrency > 1 || !context.callbackWaitsForEmptyEventLoop) finish(error, result);
      else if (!settled) invocation.onEmptyEventLoop = () => finish(null, result);
    };
    context.done = (error, result) => finish(error, result);
    context.succeed = (result) => finish(null, result);
    context.fail = (error) => finish(error ?? new Error('handled'), undefined);

    // Nobody called back and nothing is left that could: null, as Lambda has it.
    invocation.onEmptyEventLoop = () => finish(null, null);
    const returned = handler(event, context, answer);
    if (typeof returned?.then === 'function') {
      invocation.onEmptyEventLoop = () =>
        finish(new RuntimeError('Runtime.NodeJsExit', 'the handler waits for something that can never happen'));
      returned.then((result) => finish(null, result), (reason) => finish(reason ?? new Error(String(reason))));
    } else if (returned !== undefined && handler.length < 3) {
      finish(null, returned);
    }
  });
}

function parseEvent(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RuntimeError('Runtime.UnmarshalError', `the event is not JSON: ${error.message}`);
  }
}

function serialize(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? 'null';
  } catch (error) {
    throw new RuntimeError('Runtime.MarshalError', `the answer cannot be written as JSON: ${error.message}`, error);
  }
}
