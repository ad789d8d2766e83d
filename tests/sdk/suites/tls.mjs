/** pusher-js and the Node server SDK against a node that speaks TLS itself. */

import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { port, serverSdk } from "../support/server.mjs";

test("a page connects over wss and a backend publishes over https", async (t) => {
  const client = await connect(t, { forceTLS: true, wssPort: port, enabledTransports: ["ws", "wss"] });
  const room = await client.join("private-safe");
  await serverSdk({ useTLS: true }).trigger("private-safe", "hello", { over: "TLS" });
  await room.expect("hello", { over: "TLS" });
});
