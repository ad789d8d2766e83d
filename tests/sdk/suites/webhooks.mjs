/** The npm server SDK as a webhook endpoint: what the node sends is valid, and says what happened. */

import { test } from "node:test";
import { connect } from "../support/client.mjs";
import { arrived } from "../support/webhook_endpoint.mjs";

const ann = { id: "ünal", user_info: {} };

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
