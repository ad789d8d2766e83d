"""The Python server SDK as a webhook endpoint: what the node sends is valid, and says what happened."""

import http.server
import json
import os
import queue
import threading
import unittest

import pusher
import websockets.sync.client

PATIENCE_SECONDS = 15

HOST = os.environ["SOCKET_RUSH_HOST"]
PORT = int(os.environ["SOCKET_RUSH_PORT"])
APP_ID = os.environ["SOCKET_RUSH_APP_ID"]
KEY = os.environ["SOCKET_RUSH_APP_KEY"]
SECRET = os.environ["SOCKET_RUSH_APP_SECRET"]
ENDPOINT = os.environ["SOCKET_RUSH_WEBHOOK_ENDPOINT"]

SERVER = pusher.Pusher(APP_ID, KEY, SECRET, host=HOST, port=PORT, ssl=False)
STRANGER = pusher.Pusher(APP_ID, KEY, "wrong", host=HOST, port=PORT, ssl=False)


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Puts the key, the signature and the body of every webhook into a queue."""

    arrived = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.arrived.put((self.headers["X-Pusher-Key"], self.headers["X-Pusher-Signature"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


class PythonWebhooks(unittest.TestCase):
    """What the SDK makes of the node's webhooks."""

    def setUp(self):
        host, port = ENDPOINT.split(":")
        endpoint = self.enterContext(http.server.ThreadingHTTPServer((host, int(port)), Endpoint))
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        self.addCleanup(endpoint.shutdown)

    def next_event(self):
        """The single event of the next webhook, which must be valid, and with no other secret or body."""
        key, signature, body = Endpoint.arrived.get(timeout=PATIENCE_SECONDS)
        self.assertIsNone(STRANGER.validate_webhook(key, signature, body))
        self.assertIsNone(SERVER.validate_webhook(key, signature, body + " "))
        webhook = SERVER.validate_webhook(key, signature, body)
        self.assertIsNotNone(webhook, body)
        (event,) = webhook["events"]
        return event

    def test_every_event_is_valid_and_says_what_happened(self):
        url = f"ws://{HOST}:{PORT}/app/{KEY}?protocol=7&client=python-tests&version=1"
        socket = self.enterContext(websockets.sync.client.connect(url, open_timeout=PATIENCE_SECONDS))
        socket_id = json.loads(json.loads(socket.recv(timeout=PATIENCE_SECONDS))["data"])["socket_id"]
        hall = "presence-cache-hall"
        signed = SERVER.authenticate(hall, socket_id, {"user_id": "ünal"})

        def send(event):
            socket.send(json.dumps(event))

        send({"event": "pusher:subscribe", "data": {"channel": hall} | signed})
        self.assertEqual(self.next_event(), {"name": "channel_occupied", "channel": hall})
        member = {"channel": hall, "user_id": "ünal"}
        self.assertEqual(self.next_event(), {"name": "member_added"} | member)
        self.assertEqual(self.next_event(), {"name": "cache_miss", "channel": hall})

        send({"event": "client-wave", "channel": hall, "data": {"hand": "left"}})
        wave = {"name": "client_event", "event": "client-wave", "socket_id": socket_id} | member
        self.assertEqual(self.next_event(), wave | {"data": '{"hand": "left"}'})

        send({"event": "pusher:unsubscribe", "data": {"channel": hall}})
        self.assertEqual(self.next_event(), {"name": "member_removed"} | member)
        self.assertEqual(self.next_event(), {"name": "channel_vacated", "channel": hall})

        send({"event": "pusher:subscribe", "data": {"channel": "counted"}})
        self.assertEqual(self.next_event(), {"name": "channel_occupied", "channel": "counted"})
        count = {"name": "subscription_count", "channel": "counted", "subscription_count": 1}
        self.assertEqual(self.next_event(), count)


if __name__ == "__main__":
    unittest.main(verbosity=2)
