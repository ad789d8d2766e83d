/** The npm server SDK as a webhook endpoint: what the node sends is valid, and says what happened. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Inbox } from "../support/inbox.mjs";
import { connect } from "../support/client.mjs";
import { required, server, serverSdk } from "../support/server.mjs";

const ann = { id: "ünal", user_info: {} };
const stranger = serverSdk({ secret: "wrong" });
const arrived = new Inbox("the endpoint");

/** Takes the single event of a webhook, which must be valid, and with no other secret or body. */
function take(headers, rawBody) {
  assert.equal(stranger.webhook({ headers, rawBody }).isValid(), false);
  assert.equal(server.webhook({ headers, rawBody: `${rawBody} ` }).isValid(), false);
  const webhook = server.webhook({ headers, rawBody });
  assert.ok(webhook.isValid(), rawBody);
  assert.ok(Math.abs(Date.now() - webhook.getTime().getTime()) < 60_000, rawBody);
  const [{ name, ...event }, ...more] = webhook.getEvents();
  assert.deepEqual(more, []);
  arrived.hear(name, event);
}

const endpoint = createServer(async (request, response) => {
  const chunks = await request.toArray();
  try {
    take(request.headers, Buffer.concat(chunks).toString());
  } catch (error) {
    // Taken for an event, so that the case that waits for another one says what was wrong.
    arrived.hear("an invalid webhook", String(error));
  }
  response.end();
});
const [address, port] = required("SOCKET_RUSH_WEBHOOK_ENDPOINT").split(":");
await new Promise((listening) => endpoint.listen(Number(port), address, listening));
// The process ends when its cases have ended, not when its endpoint does.
endpoint.unref();

test("every event is valid and says what happened", async (t) => {
  const client = await connect(t, { user: ann });
  const channel = "presence-cache-hall";
  const member = { channel, user_id: ann.id };
  await client.join(channel);
  await arrived.expect("channel_occupied", { channel });
  await arrived.expect("member_added", member);
  await arrived.expect("cache_miss", { channel });

  client.pusher.channel(channel).trigger("client-wave", { hand: "left" });
  const wave = { event: "client-wave", data: '{"hand":"left"}', socket_id: client.socketId };
  await arrived.expect("client_event", { ...member, ...wave });

  client.pusher.unsubscribe(channel);
  await arrived.expect("member_removed", member);
  await arrived.expect("channel_vacated", { channel });

  await client.join("counted");
  await arrived.expect("channel_occupied", { channel: "counted" });
  await arrived.expect("subscription_count", { channel: "counted", subscription_count: 1 });
});
