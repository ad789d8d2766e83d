/**
 * The Socket Rush node under test. Whoever starts a suite has started the node first and says in the environment
 * where it listens and which app it serves.
 */

import assert from "node:assert/strict";
import PusherServer from "pusher";

/** A setting that the suite cannot run without. */
export function required(name) {
  const value = process.env[name];
  assert.ok(value, `${name} must be set: the suites are started by tests/sdk/mod.rs`);
  return value;
}

export const host = required("SOCKET_RUSH_HOST");
export const port = Number(required("SOCKET_RUSH_PORT"));
export const app = {
  id: required("SOCKET_RUSH_APP_ID"),
  key: required("SOCKET_RUSH_APP_KEY"),
  secret: required("SOCKET_RUSH_APP_SECRET"),
};

/** A fixed key, so that a failing run can be repeated byte for byte. */
export const encryptionMasterKeyBase64 = Buffer.alloc(32, "socket-rush").toString("base64");

/** The official server SDK, speaking for the app under test unless `differently` says otherwise. */
export function serverSdk(differently = {}) {
  return new PusherServer({
    appId: app.id,
    key: app.key,
    secret: app.secret,
    host,
    port,
    useTLS: false,
    timeout: 10_000,
    encryptionMasterKeyBase64,
    ...differently,
  });
}

/** The customer's own server: it publishes, asks and signs. */
export const server = serverSdk();

/** The JSON body of an API answer, after checking that it is the 200 which every SDK takes for success. */
export async function answer(request) {
  const response = await request;
  assert.equal(response.status, 200);
  return response.json();
}

/** The status and body with which the API turned a request down. */
export async function refusal(request) {
  try {
    await request;
  } catch (error) {
    return { status: error.status, body: error.body };
  }
  assert.fail("the API accepted a request that it had to refuse");
}
