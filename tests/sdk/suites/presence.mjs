/** pusher-js: who is in a room. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { server } from "../support/server.mjs";

const ann = { id: "ann", user_info: { name: "Ann", age: 31 } };
const ben = { id: "ben", user_info: { name: "Ben" } };

/** Who pusher-js believes is there, by id. */
function memberIds(room) {
  const ids = [];
  room.channel.members.each((member) => ids.push(member.id));
  return ids.sort();
}

test("the first member finds itself in the room", async (t) => {
  const room = await (await connect(t, { user: ann })).join("presence-first");
  const { members } = room.channel;
  assert.deepEqual(members.me, { id: "ann", info: ann.user_info });
  assert.equal(members.count, 1);
});

test("a newcomer sees who is there, and those who are there see the newcomer", async (t) => {
  const anns = await (await connect(t, { user: ann })).join("presence-two");
  const bens = await (await connect(t, { user: ben })).join("presence-two");
  assert.deepEqual(memberIds(bens), ["ann", "ben"]);
  assert.deepEqual(bens.channel.members.get("ann"), { id: "ann", info: ann.user_info });
  assert.equal(bens.channel.members.me.id, "ben");

  await anns.expect("pusher:member_added", { id: "ben", info: ben.user_info });
  assert.equal(anns.channel.members.count, 2);
  await server.trigger("presence-two", "fence", {});
  await bens.expect("fence");
});

test("a member who unsubscribes is seen to leave", async (t) => {
  const anns = await (await connect(t, { user: ann })).join("presence-leave");
  const leaver = await connect(t, { user: ben });
  await leaver.join("presence-leave");
  await anns.expect("pusher:member_added");
  leaver.pusher.unsubscribe("presence-leave");
  await anns.expect("pusher:member_removed", { id: "ben", info: ben.user_info });
  assert.deepEqual(memberIds(anns), ["ann"]);
});

test("a member who disconnects is seen to leave", async (t) => {
  const anns = await (await connect(t, { user: ann })).join("presence-gone");
  const leaver = await connect(t, { user: ben });
  await leaver.join("presence-gone");
  await anns.expect("pusher:member_added");
  leaver.pusher.disconnect();
  await anns.expect("pusher:member_removed", { id: "ben", info: ben.user_info });
});

test("one user in two tabs is one member, who leaves with the last of them", async (t) => {
  const anns = await (await connect(t, { user: ann })).join("presence-tabs");
  const [first, second] = [await connect(t, { user: ben }), await connect(t, { user: ben })];
  await first.join("presence-tabs");
  await anns.expect("pusher:member_added");
  const tab = await second.join("presence-tabs");
  assert.equal(tab.channel.members.count, 2);

  first.pusher.unsubscribe("presence-tabs");
  // Frames of one connection are handled in order: once this one is answered, the first tab has left.
  await first.join("elsewhere");
  await server.trigger("presence-tabs", "fence", {});
  await anns.expect("fence");
  second.pusher.disconnect();
  await anns.expect("pusher:member_removed", { id: "ben", info: ben.user_info });
  assert.equal(anns.channel.members.count, 1);
});

test("a numeric user id is the same text for everybody", async (t) => {
  const sevens = await (await connect(t, { user: { id: 7, user_info: {} } })).join("presence-number");
  assert.deepEqual(memberIds(sevens), ["7"]);
  await (await connect(t, { user: { id: 8, user_info: {} } })).join("presence-number");
  await sevens.expect("pusher:member_added", { id: "8", info: {} });
});

test("a member without user info still is a member", async (t) => {
  const bare = await (await connect(t, { user: { id: "bare" } })).join("presence-bare");
  assert.deepEqual(bare.channel.members.me, { id: "bare", info: {} });
});

test("a presence channel signed without a member is refused to somebody not signed in", async (t) => {
  const client = await connect(t);
  const room = client.subscribe("presence-signed-in-nobody");
  // pusher-js itself gives up here, so the frame that a careless SDK would send is sent by hand.
  await room.expect("pusher:subscription_error");
  const { auth } = server.authorizeChannel(client.socketId, "presence-signed-in-nobody");
  client.pusher.send_event("pusher:subscribe", { channel: "presence-signed-in-nobody", auth });
  await room.expect("pusher:subscription_error");
});

test("somebody signed in joins a presence channel as the user they are", async (t) => {
  const [anns, bens] = [await connect(t, { user: ann }), await connect(t, { user: ben })];
  await anns.signin();
  await bens.signin();
  const watched = await bens.join("presence-signed-in");
  const room = await anns.join("presence-signed-in");
  assert.deepEqual(room.channel.members.me, { id: "ann", info: ann.user_info });
  await watched.expect("pusher:member_added", { id: "ann", info: ann.user_info });
});
