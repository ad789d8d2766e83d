/**
 * The endpoint at which a customer's own server decides who may subscribe and who somebody is. It signs with the
 * official server SDK; its manners hang on the names it is asked about, so that a case reads without it:
 *
 * - a channel with `forbidden` in its name, or a user called so, is refused with 403;
 * - one with `forged` in its name is signed with a secret that the server does not know;
 * - a presence channel with `signed-in` in its name is signed without a member, for users who have signed in.
 */

import { createServer } from "node:http";
import { server, serverSdk } from "./server.mjs";

const forger = serverSdk({ secret: "not-the-secret" });

/** The SDK that signs for this name, or nothing when the customer says no. */
function signerFor(name) {
  if (name.includes("forbidden")) return undefined;
  return name.includes("forged") ? forger : server;
}

function authorizeChannel({ socketId, channel, user }) {
  const namesMember = channel.startsWith("presence-") && !channel.includes("signed-in");
  const member = namesMember ? { user_id: user.id, user_info: user.user_info } : undefined;
  return signerFor(channel)?.authorizeChannel(socketId, channel, member);
}

function authenticateUser({ socketId, user }) {
  return signerFor(user.id)?.authenticateUser(socketId, user);
}

const routes = { "/auth": authorizeChannel, "/user-auth": authenticateUser };

async function form(request) {
  const chunks = await request.toArray();
  const fields = new URLSearchParams(Buffer.concat(chunks).toString());
  return {
    socketId: fields.get("socket_id"),
    channel: fields.get("channel_name"),
    user: fields.has("user") ? JSON.parse(fields.get("user")) : undefined,
  };
}

async function respond(request, response) {
  const signed = routes[request.url](await form(request));
  response.writeHead(signed ? 200 : 403, { "content-type": "application/json" });
  response.end(signed ? JSON.stringify(signed) : "no");
}

const endpoint = createServer((request, response) => {
  respond(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
await new Promise((listening) => endpoint.listen(0, "127.0.0.1", listening));
// The process ends when its cases have ended, not when its endpoint does.
endpoint.unref();

const base = `http://127.0.0.1:${endpoint.address().port}`;

/** Where subscriptions are authorised. */
export const channelAuthUrl = `${base}/auth`;
/** Where users are authenticated. */
export const userAuthUrl = `${base}/user-auth`;
