import assert from "node:assert/strict";
import test from "node:test";

import { handler } from "./app.js";

test("greets the world", async () => {
  assert.deepEqual(await handler({}), { message: "Hello, world!" });
});

test("greets by name", async () => {
  assert.deepEqual(await handler({ queryStringParameters: { name: "Ada" } }), { message: "Hello, Ada!" });
});
