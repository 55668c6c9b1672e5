"""A process that floods an election port with valid notifications: ``python flood.py PORT CONNECTIONS``."""

import selectors
import socket
import struct
import sys

STRANGERS = 10**12


def main(port: int, connections: int) -> None:
    body = struct.pack(">iqqqqi", 0, 1, 0, 0, 0, 1)
    burst = (struct.pack(">i", len(body)) + body) * 1500
    selector = selectors.DefaultSelector()
    for number in range(connections):
        caller = socket.create_connection(("127.0.0.1", port))
        address = b"127.0.0.1:1"
        caller.sendall(struct.pack(">qqi", -65536, STRANGERS + number, len(address)) + address)
        caller.setblocking(False)
        selector.register(caller, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])
    print("floods", flush=True)
    while True:
        for key, events in selector.select(1):
            try:
                if events & selectors.EVENT_READ:
                    key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                if events & selectors.EVENT_WRITE:
                    sent = key.fileobj.send(burst[key.data[0] :])  # type: ignore[union-attr]
                    key.data[0] = (key.data[0] + sent) % len(burst)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(key.fileobj)


main(int(sys.argv[1]), int(sys.argv[2]))
