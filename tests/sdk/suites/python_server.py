"""The Python server SDK: publishing, asking, signing and sending users away.

What it publishes is heard with a plain WebSocket, because there is no maintained Pusher client for Python.
"""

import base64
import hashlib
import json
import os
import unittest

import nacl.secret
import pusher
import websockets.sync.client

PATIENCE_SECONDS = 15
MASTER_KEY = bytes(range(32))

HOST = os.environ["SOCKET_RUSH_HOST"]
PORT = int(os.environ["SOCKET_RUSH_PORT"])
APP_ID = os.environ["SOCKET_RUSH_APP_ID"]
KEY = os.environ["SOCKET_RUSH_APP_KEY"]
SECRET = os.environ["SOCKET_RUSH_APP_SECRET"]


def server_sdk(**differently):
    """The official SDK, speaking for the app under test."""
    settings = {
        "app_id": APP_ID,
        "key": KEY,
        "secret": SECRET,
        "host": HOST,
        "port": PORT,
        "ssl": False,
        "timeout": PATIENCE_SECONDS,
        "encryption_master_key_base64": base64.b64encode(MASTER_KEY).decode(),
    }
    return pusher.Pusher(**(settings | differently))


SERVER = server_sdk()


class Listener:
    """One WebSocket that subscribes with what the SDK signs."""

    def __init__(self, case):
        url = f"ws://{HOST}:{PORT}/app/{KEY}?protocol=7&client=python-tests&version=1"
        opening = websockets.sync.client.connect(url, open_timeout=PATIENCE_SECONDS)
        self.socket = case.enterContext(opening)
        self.socket_id = self.expect("pusher:connection_established")["socket_id"]

    def send(self, event, data):
        self.socket.send(json.dumps({"event": event, "data": data}))

    def expect(self, event):
        """The data of the next frame, which must be this event."""
        frame = json.loads(self.socket.recv(timeout=PATIENCE_SECONDS))
        if frame["event"] != event:
            raise AssertionError(f"expected {event}, heard {frame}")
        data = frame["data"]
        return json.loads(data) if isinstance(data, str) else data

    def join(self, channel, member=None):
        """Subscribes and waits until the server has said yes."""
        signed = {}
        if channel.startswith(("private-", "presence-")):
            signed = SERVER.authenticate(channel, self.socket_id, member)
            # The end that decrypts keeps the secret; the server never sees it.
            signed.pop("shared_secret", None)
        self.send("pusher:subscribe", {"channel": channel} | signed)
        return self.expect("pusher_internal:subscription_succeeded")

    def signin(self, user):
        self.send("pusher:signin", SERVER.authenticate_user(self.socket_id, user))
        return self.expect("pusher:signin_success")


class PythonServerSdk(unittest.TestCase):
    """One method for each thing that the SDK can do."""

    def listener(self, *channels):
        listener = Listener(self)
        for channel in channels:
            listener.join(channel)
        return listener

    def test_trigger_reaches_one_channel(self):
        listener = self.listener("news")
        self.assertEqual(SERVER.trigger("news", "hello", {"text": "Grüße"}), {})
        self.assertEqual(listener.expect("hello"), {"text": "Grüße"})

    def test_trigger_reaches_several_channels(self):
        one, two = self.listener("several-1"), self.listener("several-2")
        SERVER.trigger(["several-1", "several-2"], "hello", {})
        one.expect("hello")
        two.expect("hello")

    def test_trigger_leaves_out_a_socket(self):
        author, reader = self.listener("draft"), self.listener("draft")
        SERVER.trigger("draft", "saved", {}, author.socket_id)
        SERVER.trigger("draft", "fence", {})
        reader.expect("saved")
        reader.expect("fence")
        author.expect("fence")

    def test_trigger_batch_publishes_in_order(self):
        listener = self.listener("ledger")
        batch = [{"channel": "ledger", "name": f"entry-{n}", "data": {"n": n}} for n in range(10)]
        self.assertEqual(SERVER.trigger_batch(batch), {})
        for n in range(10):
            self.assertEqual(listener.expect(f"entry-{n}"), {"n": n})

    def test_trigger_encrypts_for_an_encrypted_channel(self):
        channel = "private-encrypted-vault"
        listener = self.listener(channel)
        SERVER.trigger(channel, "opened", {"code": "1234"})
        sealed = listener.expect("opened")
        box = nacl.secret.SecretBox(hashlib.sha256(channel.encode() + MASTER_KEY).digest())
        opened = box.decrypt(base64.b64decode(sealed["ciphertext"]), base64.b64decode(sealed["nonce"]))
        self.assertEqual(json.loads(opened), {"code": "1234"})

    def test_authenticate_signs_a_private_channel(self):
        listener = self.listener("private-room")
        SERVER.trigger("private-room", "hello", {})
        listener.expect("hello")

    def test_authenticate_signs_a_member_with_pythons_own_json(self):
        member = {"user_id": "ünal", "user_info": {"name": "Ü/n\"al", "list": [1, 2]}}
        presence = Listener(self).join("presence-room", member)["presence"]
        self.assertEqual(presence, {"count": 1, "ids": ["ünal"], "hash": {"ünal": member["user_info"]}})

    def test_authenticate_user_signs_a_user_in(self):
        told = Listener(self).signin({"id": "sam", "user_info": {"name": "Sam"}})
        self.assertEqual(json.loads(told["user_data"]), {"id": "sam", "user_info": {"name": "Sam"}})

    def test_channels_info_lists_occupied_channels(self):
        self.listener("info-a", "info-b")
        self.assertEqual(SERVER.channels_info("info-"), {"channels": {"info-a": {}, "info-b": {}}})

    def test_channels_info_counts_users(self):
        Listener(self).join("presence-info", {"user_id": "1"})
        Listener(self).join("presence-info", {"user_id": "2"})
        told = SERVER.channels_info("presence-info", ["user_count"])
        self.assertEqual(told, {"channels": {"presence-info": {"user_count": 2}}})

    def test_channel_info_tells_of_one_channel(self):
        Listener(self).join("presence-single", {"user_id": "1"})
        told = SERVER.channel_info("presence-single", ["user_count"])
        self.assertEqual(told, {"occupied": True, "user_count": 1})
        self.assertEqual(SERVER.channel_info("deserted"), {"occupied": False})

    def test_channel_info_tells_what_a_cache_channel_remembers(self):
        SERVER.trigger("cache-info", "kept", {"n": 1})
        cache = SERVER.channel_info("cache-info", ["cache"])["cache"]
        self.assertEqual(json.loads(cache["data"]), {"n": 1})

    def test_users_info_lists_users(self):
        Listener(self).join("presence-users", {"user_id": "1"})
        Listener(self).join("presence-users", {"user_id": 2})
        users = SERVER.users_info("presence-users")["users"]
        self.assertCountEqual(users, [{"id": "1"}, {"id": "2"}])

    def test_terminate_user_connections_closes_them(self):
        # This SDK leaves the app out of the path, so the server has to find it by the key.
        doomed, spared = Listener(self), Listener(self)
        doomed.signin({"id": "bad"})
        spared.signin({"id": "good"})
        self.assertEqual(SERVER.terminate_user_connections("bad"), {})
        with self.assertRaises(websockets.exceptions.ConnectionClosed) as closed:
            doomed.expect("pusher:error")
            doomed.socket.recv(timeout=PATIENCE_SECONDS)
        self.assertEqual(closed.exception.rcvd.code, 4009)
        spared.join("still-here")

    def test_a_wrong_secret_is_an_authentication_error(self):
        with self.assertRaises(pusher.errors.PusherBadAuth):
            server_sdk(secret="wrong").trigger("c", "e", {})

    def test_a_bad_question_is_a_bad_request(self):
        with self.assertRaises(pusher.errors.PusherBadRequest):
            SERVER.users_info("not-a-presence-channel")


if __name__ == "__main__":
    unittest.main(verbosity=2)
