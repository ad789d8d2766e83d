/** pusher-js, set up for the node under test, with an ear on everything it tells its user. */

import Pusher from "pusher-js";
import { channelAuthUrl, userAuthUrl } from "./auth_endpoint.mjs";
import { Inbox } from "./inbox.mjs";
import { app, host, port } from "./server.mjs";

/** The options with which a customer's page would reach the node, speaking as `user` to the auth endpoint. */
export function clientOptions(user) {
  const params = user ? { user: JSON.stringify(user) } : {};
  return {
    // pusher-js throws without a cluster, and tries the hosted service's fallbacks unless told to stay with sockets.
    cluster: "self-hosted",
    wsHost: host,
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    channelAuthorization: { endpoint: channelAuthUrl, transport: "ajax", params },
    userAuthentication: { endpoint: userAuthUrl, transport: "ajax", params },
  };
}

/** One pusher-js instance. */
export class Client {
  constructor(pusher) {
    this.pusher = pusher;
    this.states = new Inbox("connection states");
    this.errors = new Inbox("connection errors");
    this.frames = new Inbox("connection messages");
    pusher.connection.bind("state_change", ({ current }) => this.states.hear(current));
    pusher.connection.bind("error", (error) => this.errors.hear(error.type, error));
    pusher.connection.bind("message", (frame) => this.frames.hear(frame.event, frame.data));
  }

  get socketId() {
    return this.pusher.connection.socket_id;
  }

  /** Subscribes; what the channel says from then on is in the inbox that comes with it. */
  subscribe(name) {
    const channel = this.pusher.subscribe(name);
    const inbox = new Inbox(name);
    channel.bind_global((event, data) => inbox.hear(event, data));
    return Object.assign(inbox, { channel });
  }

  /** Subscribes and waits until the server has said yes. */
  async join(name) {
    const room = this.subscribe(name);
    await room.expect("pusher:subscription_succeeded");
    return room;
  }

  /** Signs in and waits until pusher-js has its answer, which is empty when the server said no. */
  async signin() {
    const success = new Inbox("sign-in");
    this.pusher.connection.bind("message", ({ event, data }) => {
      if (event === "pusher:signin_success") success.hear(event, data);
    });
    this.pusher.signin();
    return success.expect("pusher:signin_success");
  }
}

/** Starts a client that is put away when its case ends. */
export function start(t, { user, key = app.key, ...options } = {}) {
  const pusher = new Pusher(key, { ...clientOptions(user), ...options });
  t.after(() => pusher.disconnect());
  return new Client(pusher);
}

/** Starts a client and waits until it is connected. */
export async function connect(t, options) {
  const client = start(t, options);
  await client.states.expect("connected");
  return client;
}
