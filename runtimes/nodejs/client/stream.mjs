// Streamed answers: `awslambda.streamifyResponse` and `awslambda.HttpResponseStream`.

import { Writable } from 'node:stream';

import { describe, logError } from './errors.mjs';
import { headerText } from './runtime-api.mjs';

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const INTEGRATION = 'application/vnd.awslambda.http-integration-response';
const DELIMITER = Buffer.alloc(8);

/** Puts the global `awslambda` in place before the function's code is loaded. */
export function installStreaming() {
  globalThis.awslambda = {
    ...globalThis.awslambda,
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options?.highWaterMark) handler.highWaterMark = options.highWaterMark;
      return handler;
    },
    HttpResponseStream: {
      /** Makes the stream an HTTP response: its head goes before its first byte. */
      from(stream, head) {
        stream.setContentType(INTEGRATION);
        stream.setPrelude(Buffer.concat([Buffer.from(JSON.stringify(head)), DELIMITER]));
        return stream;
      },
    },
  };
}

export function isStreaming(handler) {
  return handler[STREAMING] === 'response';
}

/** Runs a handler that writes its answer. */
export async function invokeStreaming({ api, handler, event, context, request, invocation }) {
  const stream = new ResponseStream(api, request.id, handler.highWaterMark);
  const stuck = new Promise((_, reject) => {
    invocation.onEmptyEventLoop = () => reject(new Error('the handler neither ended its stream nor returned'));
  });
  try {
    await Promise.race([handler(event, stream, context), stuck]);
    if (!stream.writableEnded) stream.end();
    await Promise.race([stream.answered, stuck]);
  } catch (error) {
    const description = describe(error);
    logError(description);
    if (stream.opened) await stream.fail(description);
    else await api.error(request.id, description);
  } finally {
    invocation.onEmptyEventLoop = undefined;
  }
}

/** What a streaming handler writes to. The request to the Runtime API is opened by the first byte, or by the end. */
class ResponseStream extends Writable {
  #api;
  #id;
  #contentType = 'application/octet-stream';
  #prelude;
  #request;
  #resolve;
  #reject;

  constructor(api, id, highWaterMark) {
    super({ highWaterMark });
    this.#api = api;
    this.#id = id;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.answered.catch(() => {});
    // An error of the stream is the handler's, and reported by `answered`.
    this.on('error', (error) => this.#reject(error));
  }

  get opened() {
    return this.#request !== undefined;
  }

  setContentType(contentType) {
    if (this.opened) throw new Error('the content type cannot be set after the first byte');
    this.#contentType = contentType;
  }

  setPrelude(prelude) {
    this.#prelude = prelude;
  }

  /** Cuts the answer off with an error that the platform can tell from its end. */
  fail({ errorType, errorMessage, trace }) {
    const body = Buffer.from(JSON.stringify({ errorType, errorMessage, trace })).toString('base64');
    this.#request.addTrailers({
      'Lambda-Runtime-Function-Error-Type': headerText(errorType),
      'Lambda-Runtime-Function-Error-Body': body,
    });
    this.#request.end();
    return this.answered;
  }

  #open() {
    if (this.#request) return this.#request;
    this.#request = this.#api.openStream(this.#id, this.#contentType, () => this.#resolve());
    this.#request.on('error', (error) => this.#reject(error));
    if (this.#prelude) this.#request.write(this.#prelude);
    return this.#request;
  }

  _write(chunk, encoding, callback) {
    const data = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    this.#open().write(data, callback);
  }

  _final(callback) {
    this.#open().end(callback);
  }
}
