/** The npm server SDK: publishing, asking, and being refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { answer, refusal, server, serverSdk } from "../support/server.mjs";

const ann = { id: "ann", user_info: {} };
const ben = { id: "ben", user_info: {} };

const get = (path, params) => answer(server.get({ path, params }));

test("one event reaches every channel it names", async (t) => {
  const client = await connect(t);
  const rooms = [await client.join("many-1"), await client.join("many-2"), await client.join("many-3")];
  assert.deepEqual(await answer(server.trigger(["many-1", "many-2", "many-3"], "hello", { n: 1 })), {});
  for (const room of rooms) {
    await room.expect("hello", { n: 1 });
  }
});

test("the socket that a publisher leaves out hears nothing on any of the channels", async (t) => {
  const [author, reader] = [await connect(t), await connect(t)];
  const authors = [await author.join("draft-1"), await author.join("draft-2")];
  const readers = [await reader.join("draft-1"), await reader.join("draft-2")];
  await server.trigger(["draft-1", "draft-2"], "saved", {}, { socket_id: author.socketId });
  await server.trigger(["draft-1", "draft-2"], "fence", {});
  for (const room of readers) {
    await room.expect("saved");
    await room.expect("fence");
  }
  for (const room of authors) {
    await room.expect("fence");
  }
});

test("leaving out a socket that does not exist is no error", async (t) => {
  const room = await (await connect(t)).join("draft-3");
  await server.trigger("draft-3", "saved", {}, { socket_id: "1.1" });
  await room.expect("saved");
});

test("a batch publishes each of its events, in order, and leaves out whom each leaves out", async (t) => {
  const [author, reader] = [await connect(t), await connect(t)];
  const [authors, readers] = [await author.join("ledger"), await reader.join("ledger")];
  const batch = [
    { channel: "ledger", name: "first", data: { n: 1 } },
    { channel: "ledger", name: "second", data: "two", socket_id: author.socketId },
    { channel: "ledger", name: "third", data: { n: 3 } },
  ];
  assert.deepEqual(await answer(server.triggerBatch(batch)), {});
  await readers.expect("first", { n: 1 });
  await readers.expect("second", "two");
  await readers.expect("third", { n: 3 });
  await authors.expect("first", { n: 1 });
  await authors.expect("third", { n: 3 });
});

test("a batch answers each event that asks, in order", async (t) => {
  await (await connect(t, { user: ann })).join("presence-batch");
  const batch = [
    { channel: "presence-batch", name: "e", data: "{}", info: "user_count" },
    { channel: "nobody-here", name: "e", data: "{}" },
  ];
  assert.deepEqual(await answer(server.triggerBatch(batch)), { batch: [{ user_count: 1 }, {}] });
});

test("a publisher may ask in the same breath who is there", async (t) => {
  await (await connect(t, { user: ann })).join("presence-asked");
  await (await connect(t, { user: ann })).join("presence-asked");
  await (await connect(t, { user: ben })).join("presence-asked");
  const told = await answer(server.trigger("presence-asked", "e", {}, { info: "user_count" }));
  assert.deepEqual(told, { channels: { "presence-asked": { user_count: 2 } } });
});

test("the list of channels names the occupied ones and nothing of users' letters", async (t) => {
  const client = await connect(t, { user: ann });
  await client.signin();
  await client.join("list-a");
  await client.join("private-list-b");
  await client.join("list-c");
  client.pusher.unsubscribe("list-c");
  await client.join("list-d");
  const { channels } = await get("/channels");
  assert.deepEqual([channels["list-a"], channels["private-list-b"], channels["list-d"]], [{}, {}, {}]);
  assert.equal(channels["list-c"], undefined);
  assert.deepEqual(Object.keys(channels).filter((name) => name.startsWith("#")), []);
});

test("the list of channels can be filtered, and counts the users of presence channels", async (t) => {
  await (await connect(t, { user: ann })).join("presence-hall-1");
  await (await connect(t, { user: ben })).join("presence-hall-1");
  await (await connect(t, { user: ann })).join("presence-hall-2");
  const told = await get("/channels", { filter_by_prefix: "presence-hall-", info: "user_count" });
  assert.deepEqual(told, { channels: { "presence-hall-1": { user_count: 2 }, "presence-hall-2": { user_count: 1 } } });
});

test("a list in which nothing fits is an empty object", async () => {
  assert.deepEqual(await get("/channels", { filter_by_prefix: "nothing-begins-so" }), { channels: {} });
});

test("user counts are refused for a list that is not limited to presence channels", async () => {
  const { status } = await refusal(server.get({ path: "/channels", params: { info: "user_count" } }));
  assert.equal(status, 400);
});

test("one channel tells whether it is occupied and by how many users", async (t) => {
  const name = "presence-single";
  assert.deepEqual(await get(`/channels/${name}`), { occupied: false });
  await (await connect(t, { user: ann })).join(name);
  assert.deepEqual(await get(`/channels/${name}`), { occupied: true });
  assert.deepEqual(await get(`/channels/${name}`, { info: "user_count" }), { occupied: true, user_count: 1 });
});

test("a user count is refused for a channel that has no users", async () => {
  const { status } = await refusal(server.get({ path: "/channels/plain", params: { info: "user_count" } }));
  assert.equal(status, 400);
});

test("the users of a presence channel are listed once each, with ids as text", async (t) => {
  for (const user of [{ id: 7, user_info: {} }, { id: 7, user_info: {} }, ben]) {
    await (await connect(t, { user })).join("presence-list");
  }
  const { users } = await get("/channels/presence-list/users");
  assert.deepEqual(users.map(({ id }) => id).sort(), ["7", "ben"]);
});

test("a presence channel where nobody is has an empty list of users", async () => {
  assert.deepEqual(await get("/channels/presence-empty/users"), { users: [] });
});

test("a channel without presence has no list of users", async () => {
  assert.equal((await refusal(server.get({ path: "/channels/plain/users" }))).status, 400);
});

test("a request signed with another secret is refused in Pusher's words", async () => {
  const { status, body } = await refusal(serverSdk({ secret: "wrong" }).trigger("c", "e", {}));
  assert.equal(status, 401);
  assert.match(body, /Invalid signature: you should have sent HmacSHA256Hex/);
});

test("a request for an app that does not exist is refused", async () => {
  const { status } = await refusal(serverSdk({ appId: "404404", key: "nobody" }).trigger("c", "e", {}));
  assert.ok([401, 404].includes(status), `refused with ${status}`);
});

test("an event of the largest size passes, and one byte more is refused as too large", async (t) => {
  const room = await (await connect(t)).join("parcel");
  await server.trigger("parcel", "fits", "x".repeat(10_240));
  await room.expect("fits", "x".repeat(10_240));
  const { status, body } = await refusal(server.trigger("parcel", "bursts", "x".repeat(10_241)));
  assert.equal(status, 413);
  assert.match(body, /exceeds the allowed maximum \(10240 bytes\)/);
});

test("a batch with one bad event publishes none of them", async (t) => {
  const room = await (await connect(t)).join("all-or-nothing");
  const batch = [
    { channel: "all-or-nothing", name: "good", data: "{}" },
    { channel: "not a channel", name: "bad", data: "{}" },
  ];
  assert.equal((await refusal(server.triggerBatch(batch))).status, 400);
  await server.trigger("all-or-nothing", "fence", {});
  await room.expect("fence");
});

test("a batch of more than ten events is refused", async () => {
  const event = () => ({ channel: "c", name: "e", data: "{}" });
  await answer(server.triggerBatch(Array.from({ length: 10 }, event)));
  assert.equal((await refusal(server.triggerBatch(Array.from({ length: 11 }, event)))).status, 400);
});

test("an event in the protocol's own name is refused", async () => {
  assert.equal((await refusal(server.trigger("c", "pusher:fake", {}))).status, 400);
});
