/** pusher-js: channels that the server carries and cannot read. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { server, serverSdk } from "../support/server.mjs";

test("an encrypted channel carries what only its ends can read", async (t) => {
  const client = await connect(t);
  const room = await client.join("private-encrypted-vault");
  const secret = { code: "1234", note: "Grüße" };
  await server.trigger("private-encrypted-vault", "opened", secret);
  await room.expect("opened", secret);

  await client.frames.expect("pusher_internal:subscription_succeeded");
  const carried = await client.frames.expect("opened");
  assert.deepEqual(Object.keys(carried).sort(), ["ciphertext", "nonce"]);
});

test("a batch may encrypt one event and leave another as it is", async (t) => {
  const client = await connect(t);
  const [vault, hall] = [await client.join("private-encrypted-batch"), await client.join("batch-hall")];
  await server.triggerBatch([
    { channel: "private-encrypted-batch", name: "whispered", data: { words: 2 } },
    { channel: "batch-hall", name: "shouted", data: { words: 9 } },
  ]);
  await vault.expect("whispered", { words: 2 });
  await hall.expect("shouted", { words: 9 });
});

test("an event encrypted with another key never reaches the customer's code", async (t) => {
  const room = await (await connect(t)).join("private-encrypted-keys");
  const stranger = serverSdk({ encryptionMasterKeyBase64: Buffer.alloc(32, "another").toString("base64") });
  await stranger.trigger("private-encrypted-keys", "unreadable", {});
  await server.trigger("private-encrypted-keys", "readable", {});
  await room.expect("readable");
});

test("an encrypted channel is refused when the signature is made with another secret", async (t) => {
  const room = (await connect(t)).subscribe("private-encrypted-forged");
  const error = await room.expect("pusher:subscription_error");
  assert.deepEqual([error.type, error.status], ["AuthError", 401]);
});

test("a client event sent to an encrypted channel past the SDK is refused", async (t) => {
  const client = await connect(t);
  await client.join("private-encrypted-one-way");
  client.pusher.send_event("client-plain", {}, "private-encrypted-one-way");
  await client.errors.expect("PusherError");
});

test("an encrypted cache channel gives its last event to those who come later, still encrypted", async (t) => {
  const early = await (await connect(t)).join("private-encrypted-cache-vault");
  await early.expect("pusher:cache_miss");
  await server.trigger("private-encrypted-cache-vault", "opened", { code: "first" });
  await server.trigger("private-encrypted-cache-vault", "opened", { code: "last" });
  await early.expect("opened", { code: "first" });
  await early.expect("opened", { code: "last" });

  const late = await (await connect(t)).join("private-encrypted-cache-vault");
  await late.expect("opened", { code: "last" });
});
