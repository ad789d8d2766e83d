/** pusher-js: users who sign in, events for them, and being sent away. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { Inbox } from "../support/inbox.mjs";
import { answer, server } from "../support/server.mjs";

/** Signs in and listens to everything that is sent to the user. */
async function signedIn(t, user) {
  const client = await connect(t, { user });
  const letters = new Inbox(`letters to ${user.id}`);
  client.pusher.user.bind_global((event, data) => letters.hear(event, data));
  await client.signin();
  return Object.assign(client, { letters });
}

test("a user signs in and is told only who they are", async (t) => {
  const client = await connect(t, { user: { id: "sam", user_info: { name: "Sam" } } });
  const told = await client.signin();
  assert.deepEqual(Object.keys(told), ["user_data"]);
  assert.deepEqual(client.pusher.user.user_data, { id: "sam", user_info: { name: "Sam" } });
});

test("an event for a user reaches every connection of theirs once, and nobody else's", async (t) => {
  const [desk, phone] = [await signedIn(t, { id: "uma" }), await signedIn(t, { id: "uma" })];
  const other = await signedIn(t, { id: "vic" });
  await server.sendToUser("uma", "invited", { to: "tea" });
  await server.sendToUser("uma", "fence", {});
  await server.sendToUser("vic", "fence", {});
  for (const client of [desk, phone]) {
    await client.letters.expect("invited", { to: "tea" });
    await client.letters.expect("fence");
  }
  await other.letters.expect("fence");
});

test("an event for a user who is not there is no error", async () => {
  assert.deepEqual(await answer(server.sendToUser("nobody", "invited", {})), {});
});

test("a user id may use every character that the protocol allows", async (t) => {
  const id = "u_1-2=3@4,5.6;7";
  const client = await signedIn(t, { id });
  await server.sendToUser(id, "hello", {});
  await client.letters.expect("hello");
});

test("a sign-in with a forged signature is refused and the connection stays", async (t) => {
  const client = await connect(t, { user: { id: "forged" } });
  client.pusher.signin();
  await client.errors.expect("PusherError");
  assert.equal(client.pusher.user.user_data, null);
  await client.join("still-welcome");
});

test("a connection cannot become another user", async (t) => {
  const client = await signedIn(t, { id: "one" });
  const { auth, user_data } = server.authenticateUser(client.socketId, { id: "two" });
  client.pusher.send_event("pusher:signin", { auth, user_data });
  await client.errors.expect("PusherError");
  await server.sendToUser("two", "for-two", {});
  await server.sendToUser("one", "for-one", {});
  await client.letters.expect("for-one");
});

test("the letters of another user cannot be subscribed to", async (t) => {
  const spy = await signedIn(t, { id: "spy" });
  spy.pusher.send_event("pusher:subscribe", { channel: "#server-to-user-victim" });
  await spy.errors.expect("PusherError");
  await server.sendToUser("victim", "secret", {});
  await spy.join("spy-fence");
  assert.equal(await heard(spy, "secret"), false);
});

/** Whether the connection has been given an event of this name, up to a round trip from now. */
async function heard(client, name) {
  client.pusher.send_event("pusher:ping", {});
  for (;;) {
    const { event } = await client.frames.next("pusher:pong");
    if (event === name) return true;
    if (event === "pusher:pong") return false;
  }
}

test("every connection of a terminated user is closed for good, and nobody else's", async (t) => {
  const [desk, phone] = [await signedIn(t, { id: "bad" }), await signedIn(t, { id: "bad" })];
  const other = await signedIn(t, { id: "good" });
  assert.deepEqual(await answer(server.terminateUserConnections("bad")), {});
  for (const client of [desk, phone]) {
    const { data } = await client.errors.expect("PusherError");
    assert.equal(data.code, 4009);
    await client.states.expect("disconnected");
  }
  await server.sendToUser("good", "still-here", {});
  await other.letters.expect("still-here");
});

test("somebody known only by a presence channel is not terminated", async (t) => {
  const client = await connect(t, { user: { id: "guest", user_info: {} } });
  const room = await client.join("presence-guests");
  await server.terminateUserConnections("guest");
  await server.trigger("presence-guests", "fence", {});
  await room.expect("fence");
});
