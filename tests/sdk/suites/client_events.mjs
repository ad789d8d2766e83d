/** pusher-js: what clients say to each other. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { Inbox } from "../support/inbox.mjs";
import { server } from "../support/server.mjs";

const ann = { id: "ann", user_info: { name: "Ann" } };
const ben = { id: "ben", user_info: { name: "Ben" } };

test("a client event reaches the others on the channel and not its sender", async (t) => {
  const mine = await (await connect(t)).join("private-chat");
  const theirs = await (await connect(t)).join("private-chat");
  mine.channel.trigger("client-typing", { at: "the start", times: 3 });
  await theirs.expect("client-typing", { at: "the start", times: 3 });
  await server.trigger("private-chat", "fence", {});
  await mine.expect("fence");
});

test("a client event may carry plain text", async (t) => {
  const mine = await (await connect(t)).join("private-text");
  const theirs = await (await connect(t)).join("private-text");
  mine.channel.trigger("client-word", "plain words");
  await theirs.expect("client-word", "plain words");
});

test("on a presence channel the receiver learns who sent it", async (t) => {
  const mine = await (await connect(t, { user: ann })).join("presence-chat");
  const theirs = await (await connect(t, { user: ben })).join("presence-chat");
  const senders = new Inbox("senders");
  theirs.channel.bind("client-typing", (_, metadata) => senders.hear("sender", metadata.user_id));
  mine.channel.trigger("client-typing", { user_id: "somebody-else" });
  await theirs.expect("client-typing", { user_id: "somebody-else" });
  await senders.expect("sender", "ann");
});

test("a client event on a public channel is refused", async (t) => {
  const sender = await connect(t);
  const mine = await sender.join("square");
  const theirs = await (await connect(t)).join("square");
  mine.channel.trigger("client-shout", {});
  await sender.errors.expect("PusherError");
  await server.trigger("square", "fence", {});
  await theirs.expect("fence");
});

test("a client event on a channel that its sender has not joined is refused", async (t) => {
  const theirs = await (await connect(t)).join("private-members-only");
  const stranger = await connect(t);
  stranger.pusher.send_event("client-knock", {}, "private-members-only");
  const { data } = await stranger.errors.expect("PusherError");
  assert.match(data.message, /not subscribed to channel private-members-only/);
  await server.trigger("private-members-only", "fence", {});
  await theirs.expect("fence");
});

test("a client event is delivered on a cache channel but not kept for those who come later", async (t) => {
  const mine = await (await connect(t)).join("private-cache-chat");
  await mine.expect("pusher:cache_miss");
  const theirs = await (await connect(t)).join("private-cache-chat");
  await theirs.expect("pusher:cache_miss");
  mine.channel.trigger("client-typing", {});
  await theirs.expect("client-typing");

  const later = await (await connect(t)).join("private-cache-chat");
  await later.expect("pusher:cache_miss");
});
