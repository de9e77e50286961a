// Errors, as the Runtime API and the log have them.

/** An error of the runtime's own, with Lambda's name for it. */
export class RuntimeError extends Error {
  constructor(type, message, cause) {
    super(message, { cause });
    this.name = type;
    if (cause?.stack) this.stack = cause.stack;
  }
}

/** Where this client is: its frames, and those of Node that called it, say nothing about the function. */
const HERE = new URL('.', import.meta.url).href;

/** The lines of a stack down to the function's own entry. */
function ownTrace(stack) {
  const lines = String(stack ?? '').split('\n');
  const end = lines.findIndex((line) => line.startsWith('    at ') && line.includes(HERE));
  return end < 0 ? lines : lines.slice(0, end);
}

/** `{errorType, errorMessage, trace}` of anything that was thrown. */
export function describe(error, type) {
  if (error instanceof Error || (error && typeof error === 'object' && 'message' in error && 'name' in error)) {
    return {
      errorType: String(type ?? error.name ?? 'Error'),
      errorMessage: type ? `${error.name}: ${error.message}` : String(error.message),
      trace: ownTrace(error.stack),
    };
  }
  return {
    errorType: String(type ?? typeof error),
    errorMessage: typeof error === 'object' ? safeJson(error) : String(error),
    trace: [],
  };
}

/** One record, whatever its number of lines: the platform makes lines of carriage returns. */
export function logError({ errorType, errorMessage, trace }) {
  const frames = trace.filter((line) => line.startsWith('    at '));
  const text = [`[ERROR] ${errorType}: ${errorMessage}`, ...frames].join('\n');
  process.stderr.write(`${text.replaceAll('\n', '\r')}\n`);
}

function safeJson(value) {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
