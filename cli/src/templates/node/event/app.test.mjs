import assert from "node:assert/strict";
import test from "node:test";

import { handler } from "./app.mjs";

test("names every object", async () => {
  const records = ["a.jpg", "my+cat.jpg"].map((key) => ({ s3: { object: { key } } }));
  assert.deepEqual(await handler({ Records: records }), { keys: ["a.jpg", "my cat.jpg"] });
});

test("takes an event without objects", async () => {
  assert.deepEqual(await handler({}), { keys: [] });
});
