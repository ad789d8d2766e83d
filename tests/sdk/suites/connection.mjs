/** pusher-js: how a connection opens, stays alive and is turned away. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, start } from "../support/client.mjs";

test("a client connects and is told a socket id that every SDK accepts", async (t) => {
  const client = start(t);
  assert.equal(client.pusher.connection.state, "connecting");
  await client.states.expect("connected");
  assert.match(client.socketId, /^\d+\.\d+$/);
});

test("two clients have different socket ids", async (t) => {
  const [ann, ben] = await Promise.all([connect(t), connect(t)]);
  assert.notEqual(ann.socketId, ben.socketId);
});

test("a client that has heard nothing for a while pings and is answered", async (t) => {
  const client = await connect(t, { activityTimeout: 50 });
  await client.frames.expect("pusher:pong");
  await client.frames.expect("pusher:pong");
  assert.equal(client.pusher.connection.state, "connected");
});

test("a client that leaves and returns has a new socket id and its channels back", async (t) => {
  const client = await connect(t);
  const room = await client.join("returning");
  const before = client.socketId;
  client.pusher.disconnect();
  await client.states.expect("disconnected");

  client.pusher.connect();
  await client.states.expect("connecting");
  await client.states.expect("connected");
  await room.expect("pusher:subscription_succeeded");
  assert.notEqual(client.socketId, before);
});

test("a client with an unknown key is told 4001 and stays away", async (t) => {
  const client = start(t, { key: "nobody-has-this-key" });
  const { error } = await client.errors.expect("WebSocketError");
  assert.equal(error.data.code, 4001);
  assert.match(error.data.message, /nobody-has-this-key/);
  await client.states.expect("disconnected");
});

test("an event that the protocol does not know is refused and the connection stays", async (t) => {
  const client = await connect(t);
  client.pusher.send_event("pusher:dance", {});
  const { data } = await client.errors.expect("PusherError");
  assert.equal(data.code, null);
  assert.match(data.message, /pusher:dance/);
  await client.join("after-the-dance");
});
