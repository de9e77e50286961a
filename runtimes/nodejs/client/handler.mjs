// Finds the handler that a name like `folder/file.export.nested` stands for.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { RuntimeError } from './errors.mjs';

const EXTENSIONS = ['', '.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];
/** What Node says of a module that only `import` can load. */
const ONLY_IMPORT = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'];

/** The handler, or a RuntimeError of the type that Lambda has for it. */
export async function loadHandler(root, name) {
  const { folder, file, exported } = parse(name);
  const module = await load(find(root, folder, file), name);
  const handler = pick(module, exported);
  if (handler === undefined) {
    throw new RuntimeError('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new RuntimeError('Runtime.HandlerNotFound', `${name} is not a function`);
  }
  return handler;
}

function parse(name) {
  const folder = path.posix.dirname(name);
  const base = path.posix.basename(name);
  const dot = base.indexOf('.');
  if (dot <= 0 || dot === base.length - 1 || name.includes('..')) {
    throw new RuntimeError(
      'Runtime.MalformedHandlerName',
      `Bad handler ${JSON.stringify(name)}: write FILE.EXPORT, like index.handler`,
    );
  }
  return { folder, file: base.slice(0, dot), exported: base.slice(dot + 1).split('.') };
}

function find(root, folder, file) {
  const base = path.resolve(root, folder, file);
  const found = EXTENSIONS.map((extension) => base + extension).find(isFile);
  if (found) return found;
  try {
    // A folder with an index, or an installed package.
    return createRequire(path.join(path.resolve(root, folder), 'x.js')).resolve(
      existsSync(base) ? base : file,
    );
  } catch {
    throw new RuntimeError('Runtime.ImportModuleError', `Error: Cannot find module '${file}' in ${path.dirname(base)}`);
  }
}

function isFile(candidate) {
  return existsSync(candidate) && statSync(candidate).isFile();
}

async function load(file, name) {
  try {
    if (isModule(file)) return await import(pathToFileURL(file).href);
    try {
      return createRequire(file)(file);
    } catch (error) {
      if (!ONLY_IMPORT.includes(error?.code)) throw error;
      return await import(pathToFileURL(file).href);
    }
  } catch (error) {
    if (error instanceof SyntaxError) {
      const fault = new RuntimeError('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`, error);
      fault.stack = placeOf(file);
      throw fault;
    }
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw new RuntimeError('Runtime.ImportModuleError', `Error: ${error.message}`, error);
    }
    if (error instanceof Error) throw error;
    throw new RuntimeError('Runtime.ImportModuleError', `${name} threw ${String(error)} when it was loaded`);
  }
}

/** Node tells the line of a syntax error only on its way out: it is asked once more. */
function placeOf(file) {
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 5000 });
  const place = stderr?.match(/^(?:file:\/\/)?(\/.*:\d+)$/m);
  return place ? `    at ${place[1]}` : '';
}

/** An ES module by its name, or by the nearest package.json. */
function isModule(file) {
  if (file.endsWith('.mjs') || file.endsWith('.mts')) return true;
  if (!file.endsWith('.js') && !file.endsWith('.ts')) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (existsSync(manifest)) {
      try {
        return JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
      } catch {
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

/** The export, of the module or of its default export; a module that is a function is its own handler. */
function pick(module, exported) {
  const from = (start) => exported.reduce((value, key) => value?.[key], start);
  const found = from(module) ?? from(module.default);
  if (found !== undefined) return found;
  return [module, module.default].find((candidate) => typeof candidate === 'function');
}
