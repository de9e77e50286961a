// Waits in a warm pool with Node up and the runtime client's modules loaded and used once, then becomes the function's process.
//
// Says `ready` on standard output when everything is loaded, and reads one line of JSON on standard input: `argv`, `cwd` and
// `env` of the process to become. Nothing of the function is loaded, read or known before that line.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// What every handler needs, and most of what most of them import first.
import 'node:async_hooks';
import 'node:buffer';
import 'node:crypto';
import 'node:events';
import 'node:http';
import 'node:https';
import 'node:module';
import 'node:stream';
import 'node:util';
import 'node:zlib';
import '/flint/client/console.mjs';
import '/flint/client/context.mjs';
import '/flint/client/errors.mjs';
import '/flint/client/handler.mjs';
import '/flint/client/invoke.mjs';
import '/flint/client/runtime-api.mjs';
import '/flint/client/stream.mjs';
import { rehearse } from './rehearse.mjs';

/** One line of standard input. Nothing else happens in this process meanwhile, so it may block. */
function readLine() {
  const chunks = [];
  const chunk = Buffer.alloc(65536);
  for (;;) {
    const count = readSync(0, chunk);
    if (count === 0) return undefined;
    chunks.push(Buffer.from(chunk.subarray(0, count)));
    if (chunk[count - 1] === 0x0a) return Buffer.concat(chunks).toString('utf8');
  }
}

async function become({ argv, cwd, env }) {
  process.chdir(cwd);
  // What is opened next takes the lowest number there is: standard input, which the function finds empty.
  closeSync(0);
  openSync('/dev/null', 'r');
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const [program, script] = argv;
  if (path.basename(program) === 'node' && script && !script.startsWith('-')) {
    process.argv = [process.execPath, path.resolve(cwd, script), ...argv.slice(2)];
    await import(pathToFileURL(process.argv[1]).href);
    return;
  }
  // Something else than a script of this Node: a process like any other.
  const child = spawn(program, argv.slice(1), { cwd, env, stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`${program} cannot be started: ${error.message}\n`);
    process.exit(127);
  });
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}

await rehearse();
writeSync(1, 'ready\n');
const line = readLine();
if (line !== undefined) await become(JSON.parse(line));
