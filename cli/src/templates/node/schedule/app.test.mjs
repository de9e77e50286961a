import assert from "node:assert/strict";
import test from "node:test";

import { handler } from "./app.mjs";

test("reports the time that was due", async () => {
  assert.deepEqual(await handler({ time: "2027-01-31T02:00:00Z" }), { reported: "2027-01-31T02:00:00Z" });
});
