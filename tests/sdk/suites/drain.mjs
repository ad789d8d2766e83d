/** pusher-js: what a page sees of a node that is replaced by another. */

import { createServer, connect as dial } from "node:net";
import { test } from "node:test";
import assert from "node:assert/strict";
import { start } from "../support/client.mjs";
import { host, port, required, serverSdk } from "../support/server.mjs";

const pid = Number(required("SOCKET_RUSH_PID"));
const nextPort = Number(required("SOCKET_RUSH_NEXT_PORT"));

/** A load balancer of the plainest kind: it sends every new connection to the node it was last pointed at. */
async function loadBalancer(t) {
  let target = port;
  const balancer = createServer((page) => {
    const node = dial(target, host);
    page.pipe(node).pipe(page);
    // A broken side ends the other; what that means to the page is for pusher-js to say.
    page.on("error", () => node.destroy());
    node.on("error", () => page.destroy());
  });
  await new Promise((listening) => balancer.listen(0, host, listening));
  t.after(() => balancer.close());
  return {
    port: balancer.address().port,
    pointAt(newTarget) {
      target = newTarget;
    },
  };
}

test("a node that is told to stop sends its clients away with 4200, and they are back at once elsewhere", async (t) => {
  const balancer = await loadBalancer(t);
  const client = start(t, { wsPort: balancer.port });
  await client.states.expect("connected");
  const room = await client.join("private-moving");

  balancer.pointAt(nextPort);
  process.kill(pid, "SIGTERM");
  const { data } = await client.errors.expect("PusherError");
  assert.equal(data.code, 4200);
  await client.states.expect("connecting");
  await client.states.expect("connected");
  await room.expect("pusher:subscription_succeeded");
  await serverSdk({ port: nextPort }).trigger("private-moving", "hello", { from: "the next node" });
  await room.expect("hello", { from: "the next node" });
});
