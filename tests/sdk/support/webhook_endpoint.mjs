/**
 * The endpoint at which a customer's own server gets webhooks, where the test that started the suite says. Each must be
 * valid to the official server SDK, and with no other secret or body.
 */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Inbox } from "./inbox.mjs";
import { required, server, serverSdk } from "./server.mjs";

/** The events of all webhooks that have arrived. */
export const arrived = new Inbox("the endpoint");

const stranger = serverSdk({ secret: "wrong" });

/** Takes the single event of a webhook. */
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
