/** Everything at once: pusher-js at one node, the npm server SDK at another one, and as an endpoint for webhooks. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { answer, required, serverSdk } from "../support/server.mjs";
import { arrived } from "../support/webhook_endpoint.mjs";

const ann = { id: "ann", user_info: { name: "Ann" } };
const backend = serverSdk({ port: Number(required("SOCKET_RUSH_OTHER_PORT")) });

test("a member comes, is told of, hears the other node, and goes", async (t) => {
  const client = await connect(t, { user: ann });
  const channel = "presence-lobby";
  const member = { channel, user_id: ann.id };
  const room = await client.join(channel);
  await arrived.expect("channel_occupied", { channel });
  await arrived.expect("member_added", member);

  await backend.trigger(channel, "news", { text: "It works" });
  await room.expect("news", { text: "It works" });
  const { users } = await answer(backend.get({ path: `/channels/${channel}/users` }));
  assert.deepEqual(users, [{ id: ann.id }]);

  client.pusher.disconnect();
  await arrived.expect("member_removed", member);
  await arrived.expect("channel_vacated", { channel });
});
