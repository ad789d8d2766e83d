/** pusher-js: how many are subscribed, for an app that wants to know. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { answer, server } from "../support/server.mjs";

test("subscribers are told how many they are whenever that changes", async (t) => {
  const first = await (await connect(t)).join("counted");
  await first.expect("pusher:subscription_count", { subscription_count: 1 });

  const second = await connect(t);
  const theirs = await second.join("counted");
  await theirs.expect("pusher:subscription_count", { subscription_count: 2 });
  await first.expect("pusher:subscription_count", { subscription_count: 2 });
  assert.equal(first.channel.subscriptionCount, 2);

  second.pusher.unsubscribe("counted");
  await first.expect("pusher:subscription_count", { subscription_count: 1 });
});

test("a subscriber who disconnects is counted out", async (t) => {
  const first = await (await connect(t)).join("private-counted");
  await first.expect("pusher:subscription_count", { subscription_count: 1 });
  const second = await connect(t);
  await second.join("private-counted");
  await first.expect("pusher:subscription_count", { subscription_count: 2 });
  second.pusher.disconnect();
  await first.expect("pusher:subscription_count", { subscription_count: 1 });
});

test("a presence channel counts members and not subscriptions", async (t) => {
  const room = await (await connect(t, { user: { id: "ann" } })).join("presence-counted");
  await server.trigger("presence-counted", "fence", {});
  await room.expect("fence");
});

test("the API tells how many are subscribed", async (t) => {
  const first = await (await connect(t)).join("asked");
  await first.expect("pusher:subscription_count", { subscription_count: 1 });
  await (await connect(t)).join("asked");
  await first.expect("pusher:subscription_count", { subscription_count: 2 });
  const told = await answer(server.get({ path: "/channels/asked", params: { info: "subscription_count" } }));
  assert.deepEqual(told, { occupied: true, subscription_count: 2 });
});

test("a publisher may ask in the same breath how many are subscribed", async (t) => {
  const room = await (await connect(t)).join("published");
  await room.expect("pusher:subscription_count", { subscription_count: 1 });
  const told = await answer(server.trigger("published", "hello", {}, { info: "subscription_count" }));
  assert.deepEqual(told, { channels: { published: { subscription_count: 1 } } });
});
