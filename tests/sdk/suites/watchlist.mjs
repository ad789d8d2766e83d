/** pusher-js: users who watch whether others are online. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { Inbox } from "../support/inbox.mjs";

/** Signs in and listens to what is said about the users on the watchlist. */
async function watching(t, user) {
  const client = await connect(t, { user });
  const watchlist = new Inbox(`watchlist of ${user.id}`);
  client.pusher.user.watchlist.bind_global((event, { user_ids }) => watchlist.hear(event, user_ids));
  await client.signin();
  return Object.assign(client, { watchlist });
}

test("a watcher is told at sign-in who is online and who is not", async (t) => {
  await watching(t, { id: "present" });
  const { watchlist } = await watching(t, { id: "watcher", watchlist: ["present", "absent", "missing"] });
  const told = {};
  for (let words = 0; words < 2; words += 1) {
    const { event, data } = await watchlist.next();
    told[event] = data.sort();
  }
  assert.deepEqual(told, { online: ["present"], offline: ["absent", "missing"] });
});

test("a watcher is told when a user comes and goes", async (t) => {
  const { watchlist } = await watching(t, { id: "guard", watchlist: ["traveller"] });
  await watchlist.expect("offline", ["traveller"]);
  const traveller = await watching(t, { id: "traveller" });
  await watchlist.expect("online", ["traveller"]);
  traveller.pusher.disconnect();
  await watchlist.expect("offline", ["traveller"]);
});

test("a user is online until the last of their connections has gone", async (t) => {
  const { watchlist } = await watching(t, { id: "patient", watchlist: ["twofold"] });
  await watchlist.expect("offline", ["twofold"]);
  const first = await watching(t, { id: "twofold" });
  await watchlist.expect("online", ["twofold"]);
  const second = await watching(t, { id: "twofold" });
  first.pusher.disconnect();
  second.pusher.disconnect();
  await watchlist.expect("offline", ["twofold"]);
  watchlist.expectNothing();
});

test("a watchlist that is too long is cut, and the user is signed in and told so", async (t) => {
  const everybody = Array.from({ length: 101 }, (_, number) => `friend-${number}`);
  const client = await watching(t, { id: "popular", watchlist: everybody });
  const { data } = await client.errors.expect("PusherError");
  assert.equal(data.code, 4302);
  const told = await client.watchlist.expect("offline");
  assert.equal(told.length, 100);
});
