// A real llama.cpp server for the tests of `connect`: installed once into .cache/ from a wheel of named version.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { ROOT } from '../browser/chromium.mjs';

const REQUIREMENTS = `${ROOT}tests/servers/requirements.txt`;
const ENVIRONMENT = `${ROOT}.cache/servers`;
const STAMP = `${ENVIRONMENT}/installed.txt`;

function python() {
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  const program = `${ENVIRONMENT}/bin/python`;
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== wanted) {
    execFileSync('python3', ['-m', 'venv', ENVIRONMENT]);
    execFileSync(program, ['-m', 'pip', 'install', '--quiet', '--requirement', REQUIREMENTS]);
    writeFileSync(STAMP, wanted);
  }
  return program;
}

/** Serves a GGUF with Qwen3's chat template; `proxy` passes a request of a test's own server on to it. */
export async function serveGguf(path) {
  const child = spawn(python(), [`${ROOT}tests/servers/llama.py`, path, `${ROOT}models/tiny-math/chat_template.jinja`], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [address] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'exit').then(([code]) => { throw new Error(`llama.cpp's server ended with ${code}`); }),
  ]);
  return {
    url: address,
    proxy: (prefix) => (incoming, response) => {
      const { method, headers, url } = incoming;
      // A connection of its own: the server may be about to close one that is kept.
      const outgoing = request(new URL(url.slice(prefix.length), address), { method, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      response.on('close', () => outgoing.destroy());
      outgoing.on('error', () => response.destroy());
      incoming.pipe(outgoing);
    },
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
