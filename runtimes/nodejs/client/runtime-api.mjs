// The Lambda Runtime API, over kept connections.

import http from 'node:http';

const PREFIX = '/2018-06-01/runtime';

export class RuntimeApi {
  constructor(address) {
    if (!address) throw new Error('AWS_LAMBDA_RUNTIME_API is not set');
    const at = address.lastIndexOf(':');
    this.host = address.slice(0, at);
    this.port = Number(address.slice(at + 1));
    // A poll waits for as long as there is nothing to do: no timeout.
    this.agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, noDelay: true });
  }

  /** The next invocation. */
  async next() {
    const { status, headers, body } = await this.#call('GET', '/invocation/next');
    if (status !== 200) throw new Error(`the Runtime API answered a poll with ${status}: ${body}`);
    return {
      id: headers['lambda-runtime-aws-request-id'],
      deadline: Number(headers['lambda-runtime-deadline-ms']),
      arn: headers['lambda-runtime-invoked-function-arn'] ?? '',
      traceId: headers['lambda-runtime-trace-id'],
      clientContext: headers['lambda-runtime-client-context'],
      identity: headers['lambda-runtime-cognito-identity'],
      tenantId: headers['lambda-runtime-aws-tenant-id'],
      body: body.toString('utf8'),
    };
  }

  /** The answer of an invocation: JSON text. */
  respond(id, text) {
    return this.#call('POST', `/invocation/${id}/response`, text);
  }

  /** The error of an invocation. */
  error(id, description) {
    return this.#call('POST', `/invocation/${id}/error`, JSON.stringify(description), {
      'Lambda-Runtime-Function-Error-Type': headerText(description.errorType),
    });
  }

  /** The function cannot be initialized. */
  initError(description) {
    return this.#call('POST', '/init/error', JSON.stringify(description), {
      'Lambda-Runtime-Function-Error-Type': headerText(description.errorType),
    });
  }

  /** Opens a streamed answer; it is written to, and ended, by the caller. */
  openStream(id, contentType, onAnswer) {
    return http.request(
      {
        ...this.#target('POST', `/invocation/${id}/response`),
        headers: {
          'Content-Type': contentType,
          'Lambda-Runtime-Function-Response-Mode': 'streaming',
          'Transfer-Encoding': 'chunked',
          Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
        },
      },
      (response) => response.resume().on('end', onAnswer),
    );
  }

  #target(method, path) {
    return { host: this.host, port: this.port, agent: this.agent, method, path: PREFIX + path };
  }

  #call(method, path, text, headers = {}) {
    const body = text === undefined ? undefined : Buffer.from(text, 'utf8');
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          ...this.#target(method, path),
          headers: body ? { 'Content-Type': 'application/json', 'Content-Length': body.length, ...headers } : headers,
        },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** An error's type is a class name, which may hold what a header may not. */
export function headerText(text) {
  return String(text).replace(/[^\x20-\x7e]/g, '?');
}
