/** Laravel Echo, on top of pusher-js, as a Laravel page uses it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import Echo from "laravel-echo";
import Pusher from "pusher-js";
import { channelAuthUrl, userAuthUrl } from "../support/auth_endpoint.mjs";
import { clientOptions } from "../support/client.mjs";
import { Inbox } from "../support/inbox.mjs";
import { app, server } from "../support/server.mjs";

const ann = { id: "ann", user_info: { id: "ann", name: "Ann" } };
const ben = { id: "ben", user_info: { id: "ben", name: "Ben" } };

/** An Echo set up through Laravel's own options: one endpoint for channels, one for users. */
function echoFor(t, user) {
  const { channelAuthorization, ...options } = clientOptions(user);
  const echo = new Echo({
    ...options,
    broadcaster: "pusher",
    Pusher,
    key: app.key,
    authEndpoint: channelAuthUrl,
    auth: { headers: {}, params: channelAuthorization.params },
    userAuthentication: { ...options.userAuthentication, endpoint: userAuthUrl, headers: {} },
  });
  t.after(() => echo.disconnect());
  return echo;
}

/** Waits until the server has let this Echo channel in. */
async function entered(channel) {
  const inbox = new Inbox(channel.name);
  channel.subscribed(() => inbox.hear("subscribed")).error((error) => inbox.hear("error", error));
  await inbox.expect("subscribed");
  return channel;
}

/** Everything that a presence channel's three callbacks are told. */
function attendance(channel) {
  const inbox = new Inbox(channel.name);
  channel
    .here((users) => inbox.hear("here", users))
    .joining((user) => inbox.hear("joining", user))
    .leaving((user) => inbox.hear("leaving", user))
    .error((error) => inbox.hear("error", error));
  return inbox;
}

test("Echo connects and knows its socket id", async (t) => {
  const echo = echoFor(t);
  await entered(echo.channel("lobby"));
  assert.equal(echo.connectionStatus(), "connected");
  assert.match(echo.socketId(), /^\d+\.\d+$/);
});

test("a public channel hears an event under Laravel's name for it", async (t) => {
  const orders = await entered(echoFor(t).channel("orders"));
  const inbox = new Inbox("orders");
  orders.listen("OrderShipped", (data) => inbox.hear("OrderShipped", data));
  orders.listen(".order.packed", (data) => inbox.hear("order.packed", data));
  await server.trigger("orders", "App\\Events\\OrderShipped", { id: 7 });
  await server.trigger("orders", "order.packed", { id: 8 });
  await inbox.expect("OrderShipped", { id: 7 });
  await inbox.expect("order.packed", { id: 8 });
});

test("a broadcast to others is not heard by the page that caused it", async (t) => {
  const [author, reader] = [echoFor(t), echoFor(t)];
  const [authors, readers] = [new Inbox("author"), new Inbox("reader")];
  (await entered(author.channel("posts"))).listenToAll((event) => authors.hear(event));
  (await entered(reader.channel("posts"))).listenToAll((event) => readers.hear(event));
  await server.trigger("posts", "Saved", {}, { socket_id: author.socketId() });
  await server.trigger("posts", "Fence", {});
  await readers.expect(".Saved");
  await readers.expect(".Fence");
  await authors.expect(".Fence");
});

test("a private channel hears its events", async (t) => {
  const inbox = new Inbox("private");
  const room = await entered(echoFor(t).private("account.1"));
  room.listen(".paid", (data) => inbox.hear("paid", data));
  await server.trigger("private-account.1", "paid", { cents: 1999 });
  await inbox.expect("paid", { cents: 1999 });
});

test("a notification reaches its listener", async (t) => {
  const inbox = new Inbox("notifications");
  (await entered(echoFor(t).private("user.1"))).notification((data) => inbox.hear("notified", data));
  const name = "Illuminate\\Notifications\\Events\\BroadcastNotificationCreated";
  await server.trigger("private-user.1", name, { type: "Invoice" });
  await inbox.expect("notified", { type: "Invoice" });
});

test("an encrypted private channel is decrypted on the page", async (t) => {
  const inbox = new Inbox("encrypted");
  const room = await entered(echoFor(t).encryptedPrivate("vault"));
  room.listen(".opened", (data) => inbox.hear("opened", data));
  await server.trigger("private-encrypted-vault", "opened", { code: "1234" });
  await inbox.expect("opened", { code: "1234" });
});

test("a page refused by its own server hears so in error()", async (t) => {
  const inbox = new Inbox("refused");
  echoFor(t).private("forbidden").error((error) => inbox.hear("error", error.status));
  await inbox.expect("error", 403);
});

test("a page refused by Socket Rush hears so in error()", async (t) => {
  const inbox = new Inbox("forged");
  echoFor(t).private("forged").error((error) => inbox.hear("error", error.status));
  await inbox.expect("error", 401);
});

test("a presence channel tells who is here, who joins and who leaves", async (t) => {
  const anns = attendance(echoFor(t, ann).join("room"));
  await anns.expect("here", [ann.user_info]);
  const bens = echoFor(t, ben);
  const arrival = attendance(bens.join("room"));
  const here = await arrival.expect("here");
  assert.deepEqual(here.map(({ id }) => id).sort(), ["ann", "ben"]);
  await anns.expect("joining", ben.user_info);
  bens.leave("room");
  await anns.expect("leaving", ben.user_info);
});

test("a whisper reaches the others and not the one who whispers", async (t) => {
  const [mine, theirs] = [new Inbox("mine"), new Inbox("theirs")];
  const speaker = await entered(echoFor(t).private("chat"));
  const listener = await entered(echoFor(t).private("chat"));
  speaker.listenForWhisper("typing", (data) => mine.hear("typing", data)).listen(".fence", () => mine.hear("fence"));
  listener.listenForWhisper("typing", (data) => theirs.hear("typing", data));
  speaker.whisper("typing", { name: "Ann" });
  await theirs.expect("typing", { name: "Ann" });
  await server.trigger("private-chat", "fence", {});
  await mine.expect("fence");
});

test("a channel that was left is heard no more, and again after returning", async (t) => {
  const echo = echoFor(t);
  const [old, back] = [new Inbox("old"), new Inbox("back")];
  (await entered(echo.channel("door"))).listenToAll((event) => old.hear(event));
  echo.leave("door");
  // Frames of one connection are handled in order: once this one is answered, the first channel has been left.
  await entered(echo.channel("hall"));
  await server.trigger("door", "Missed", {});
  (await entered(echo.channel("door"))).listenToAll((event) => back.hear(event));
  await server.trigger("door", "Heard", {});
  await back.expect(".Heard");
  old.expectNothing();
});

test("a page signs its user in and hears what is sent to them", async (t) => {
  const echo = echoFor(t, { id: "eve" });
  const inbox = new Inbox("letters");
  const { pusher } = echo.connector;
  pusher.user.bind("invited", (data) => inbox.hear("invited", data));
  pusher.connection.bind("message", ({ event }) => event === "pusher:signin_success" && inbox.hear("signed in"));
  echo.connector.signin();
  await inbox.expect("signed in");
  await server.sendToUser("eve", "invited", { to: "tea" });
  await inbox.expect("invited", { to: "tea" });
});
