/** pusher-js: public and private channels, and who is let in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { server } from "../support/server.mjs";

test("a public channel carries strings, objects and numbers as they were published", async (t) => {
  const news = await (await connect(t)).join("news");
  await server.trigger("news", "object", { title: "Grüße", nested: { list: [1, "2", null] } });
  await server.trigger("news", "text", "plain words");
  await server.trigger("news", "number", 42);
  await server.trigger("news", "nothing", "");
  await news.expect("object", { title: "Grüße", nested: { list: [1, "2", null] } });
  await news.expect("text", "plain words");
  await news.expect("number", 42);
  await news.expect("nothing", "");
});

test("events of one channel arrive in the order in which they were published", async (t) => {
  const line = await (await connect(t)).join("line");
  for (let place = 0; place < 50; place += 1) {
    await server.trigger("line", "next", place);
  }
  for (let place = 0; place < 50; place += 1) {
    await line.expect("next", place);
  }
});

test("a channel hears only its own events", async (t) => {
  const client = await connect(t);
  const [left, right] = [await client.join("left"), await client.join("right")];
  await server.trigger("left", "to-the-left", {});
  await server.trigger("right", "to-the-right", {});
  await left.expect("to-the-left");
  await right.expect("to-the-right");
});

test("nothing comes after unsubscribing, and everything again after returning", async (t) => {
  const client = await connect(t);
  const before = await client.join("door");
  const hall = await client.join("hall");
  client.pusher.unsubscribe("door");
  await server.trigger(["door", "hall"], "while-away", {});
  await hall.expect("while-away");

  const after = await client.join("door");
  await server.trigger("door", "back", {});
  await after.expect("back");
  before.expectNothing();
});

test("unsubscribing and subscribing in one breath leaves the client subscribed", async (t) => {
  const client = await connect(t);
  await client.join("blink");
  client.pusher.unsubscribe("blink");
  const again = await client.join("blink");
  await server.trigger("blink", "seen", {});
  await again.expect("seen");
});

test("a private channel lets in whom the customer's endpoint has signed for", async (t) => {
  const room = await (await connect(t)).join("private-room");
  await server.trigger("private-room", "hello", { to: "you" });
  await room.expect("hello", { to: "you" });
});

test("a channel that the customer's endpoint refuses is never asked for", async (t) => {
  const room = (await connect(t)).subscribe("private-forbidden");
  const error = await room.expect("pusher:subscription_error");
  assert.deepEqual([error.type, error.status], ["AuthError", 403]);
});

test("a signature made with another secret is refused and the connection stays", async (t) => {
  const client = await connect(t);
  const room = client.subscribe("private-forged");
  const error = await room.expect("pusher:subscription_error");
  assert.deepEqual([error.type, error.status], ["AuthError", 401]);
  const { data } = await client.errors.expect("PusherError");
  assert.match(data.message, /^Invalid signature: Expected HMAC SHA256 hex digest of \d+\.\d+:private-forged, but got /);

  await server.trigger("private-forged", "secret", {});
  const fence = await client.join("still-here");
  await server.trigger("still-here", "fence", {});
  await fence.expect("fence");
  room.expectNothing();
});

test("a name with forbidden characters is refused for that channel alone", async (t) => {
  const client = await connect(t);
  const room = client.subscribe("not a channel");
  const error = await room.expect("pusher:subscription_error");
  assert.equal(error.status, 400);
  await client.join("a-channel");
});

test("a name that is too long is refused for that channel alone", async (t) => {
  const client = await connect(t);
  const error = await client.subscribe("x".repeat(201)).expect("pusher:subscription_error");
  assert.equal(error.status, 400);
  await client.join("x".repeat(200));
});

test("a second subscription to the same channel is an error that changes nothing", async (t) => {
  const client = await connect(t);
  const twice = await client.join("twice");
  client.pusher.send_event("pusher:subscribe", { channel: "twice" });
  const { data } = await client.errors.expect("PusherError");
  assert.match(data.message, /^Existing subscription to channel twice/);
  await server.trigger("twice", "once", {});
  await server.trigger("twice", "fence", {});
  await twice.expect("once");
  await twice.expect("fence");
});

test("client events are refused while the app has not switched them on", async (t) => {
  const client = await connect(t);
  const [ann, ben] = [await client.join("private-quiet"), await (await connect(t)).join("private-quiet")];
  ann.channel.trigger("client-psst", {});
  const { data } = await client.errors.expect("PusherError");
  assert.match(data.message, /^To send client events, you must enable this feature/);
  await server.trigger("private-quiet", "fence", {});
  await ben.expect("fence");
});
