/** pusher-js: channels that remember their last event. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { answer, server } from "../support/server.mjs";

const user = { id: "ann", user_info: { name: "Ann" } };

for (const name of ["cache-weather", "private-cache-weather", "presence-cache-weather"]) {
  test(`${name} is empty at first and then gives its last event to those who come later`, async (t) => {
    const early = await (await connect(t, { user })).join(name);
    await early.expect("pusher:cache_miss");
    await server.trigger(name, "sunny", { degrees: 20 });
    await server.trigger(name, "rainy", { degrees: 12 });
    await early.expect("sunny", { degrees: 20 });
    await early.expect("rainy", { degrees: 12 });

    const late = await (await connect(t, { user })).join(name);
    await late.expect("rainy", { degrees: 12 });
    await server.trigger(name, "fence", {});
    await late.expect("fence");
    await early.expect("fence");
  });
}

test("an event is kept although nobody was there to hear it", async (t) => {
  await server.trigger("cache-unheard", "fallen", "tree");
  const room = await (await connect(t)).join("cache-unheard");
  await room.expect("fallen", "tree");
});

test("an event is given to a latecomer whom its publisher had left out", async (t) => {
  const client = await connect(t);
  await server.trigger("cache-excluded", "kept", {}, { socket_id: client.socketId });
  const room = await client.join("cache-excluded");
  await room.expect("kept");
});

test("a channel whose name only resembles a cache channel remembers nothing", async (t) => {
  for (const name of ["mycache-x", "cachex"]) {
    await server.trigger(name, "lost", {});
    const room = await (await connect(t)).join(name);
    await server.trigger(name, "fence", {});
    await room.expect("fence");
  }
});

test("the API tells what a cache channel remembers", async () => {
  await server.trigger("cache-asked", "kept", { degrees: 7 });
  const { cache } = await answer(server.get({ path: "/channels/cache-asked", params: { info: "cache" } }));
  assert.equal(cache.data, '{"degrees":7}');
  assert.ok(cache.ttl > 0);
});

test("the API tells that a cache channel remembers nothing", async () => {
  const { cache } = await answer(server.get({ path: "/channels/cache-empty", params: { info: "cache" } }));
  assert.equal(cache, null);
});
