"""A client with nothing but Python: subscribes to a channel, and prints what it is told until it is ended.

    visitor.py URL APP_KEY CHANNEL

With APP_SECRET in the environment it lets itself into private and presence channels, as a backend would. It speaks as
much of WebSocket as that takes; applications use pusher-js or another library.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import sys
import urllib.parse


def connection_to(url):
    """A connection to the server, and how requests name it."""
    parts = urllib.parse.urlsplit(url)
    is_tls = parts.scheme == "https"
    plain = socket.create_connection((parts.hostname, parts.port or (443 if is_tls else 80)), timeout=10)
    if not is_tls:
        return plain, parts.netloc
    return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname), parts.netloc


def upgrade(connection, stream, host, key):
    """Makes a WebSocket of the connection."""
    nonce = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /app/{key}?protocol=7&client=visitor&version=1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    status = stream.readline()
    if b" 101 " not in status:
        sys.exit(f"visitor: {host} takes no WebSocket: {status.decode(errors='replace').strip()}")
    while stream.readline().strip():
        pass


def frame(text, opcode=1):
    """A frame of up to 64 KiB as clients send it: masked."""
    data, mask = text.encode(), os.urandom(4)
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return bytes([0x80 | opcode]) + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def frames(stream):
    """What the server sends, as opcode and text; its frames are whole messages."""
    while head := stream.read(2):
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", stream.read(8))
        yield head[0] & 0x0F, stream.read(length)


def subscription(channel, socket_id, key):
    """The message that subscribes, signed if the channel asks for that."""
    data = {"channel": channel}
    if channel.startswith(("private-", "presence-")):
        signed = f"{socket_id}:{channel}"
        if channel.startswith("presence-"):
            data["channel_data"] = json.dumps({"user_id": "visitor"})
            signed += f":{data['channel_data']}"
        signature = hmac.new(os.environ["APP_SECRET"].encode(), signed.encode(), hashlib.sha256).hexdigest()
        data["auth"] = f"{key}:{signature}"
    return json.dumps({"event": "pusher:subscribe", "data": data})


def answer(message, key, channel):
    """What a message of the server is answered, if anything; what concerns the channel is printed."""
    event = message["event"]
    if event == "pusher:connection_established":
        return subscription(channel, json.loads(message["data"])["socket_id"], key)
    if event == "pusher:ping":
        return '{"event":"pusher:pong","data":{}}'
    if event in ("pusher:error", "pusher:subscription_error"):
        sys.exit(f"visitor: {event} {message.get('data')}")
    if event == "pusher_internal:subscription_succeeded":
        print(f"visitor: subscribed to {channel}", flush=True)
    elif message.get("channel") == channel:
        print(f"visitor: got {event} {message.get('data')}", flush=True)
    return None


def visit(url, key, channel):
    connection, host = connection_to(url)
    with connection, connection.makefile("rb") as stream:
        upgrade(connection, stream, host, key)
        connection.settimeout(None)
        for opcode, data in frames(stream):
            if opcode == 8:
                return
            if opcode == 9:
                connection.sendall(frame(data.decode(), opcode=10))
            elif reply := answer(json.loads(data), key, channel):
                connection.sendall(frame(reply))


if __name__ == "__main__":
    try:
        visit(*sys.argv[1:4])
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"visitor: {error}")
