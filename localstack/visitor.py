"""A client with nothing but Python: subscribes to a channel, and prints what it is told until it is ended.

    visitor.py HOST:PORT APP_KEY CHANNEL

It speaks as much of WebSocket as that takes; applications use pusher-js or another library.
"""

import base64
import json
import os
import socket
import struct
import sys


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


def visit(address, key, channel):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rb") as stream:
        nonce = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET /app/{key}?protocol=7&client=visitor&version=1 HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        if b" 101 " not in stream.readline():
            sys.exit(f"visitor: {address} takes no WebSocket")
        while stream.readline().strip():
            pass
        connection.sendall(frame(json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}})))
        connection.settimeout(None)
        for opcode, data in frames(stream):
            if opcode == 8:
                return
            if opcode == 9:
                connection.sendall(frame(data.decode(), opcode=10))
            elif (message := json.loads(data))["event"] == "pusher:ping":
                connection.sendall(frame('{"event":"pusher:pong","data":{}}'))
            elif message["event"] == "pusher_internal:subscription_succeeded":
                print(f"visitor: subscribed to {channel}", flush=True)
            elif message.get("channel") == channel:
                print(f"visitor: got {message['event']} {message.get('data')}", flush=True)


if __name__ == "__main__":
    try:
        visit(*sys.argv[1:4])
    except KeyboardInterrupt:
        pass
