"""Prints the webhooks that it gets, and answers 200: what a customer's endpoint is in a first try.

    receiver.py PORT [ADDRESS]

With APP_SECRET in the environment it also says whether the signature is the app's.
"""

import hashlib
import hmac
import http.server
import json
import os
import sys


class Webhooks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        for event in json.loads(body)["events"]:
            print(f"webhook: {event['name']} of {event['channel']}{self.signature(body)}", flush=True)

    def signature(self, body):
        secret = os.environ.get("APP_SECRET")
        if secret is None:
            return ""
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        is_right = hmac.compare_digest(self.headers.get("X-Pusher-Signature", ""), expected)
        return ", signed by the app" if is_right else ", with a WRONG signature"

    def log_message(self, *_):
        """Each webhook has its own line."""


if __name__ == "__main__":
    port, address = int(sys.argv[1]), (sys.argv[2:] or ["127.0.0.1"])[0]
    with http.server.ThreadingHTTPServer((address, port), Webhooks) as server:
        print(f"receiver: listening on port {server.server_address[1]}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
