"""One PySyncObj node, as a process: JOURNAL ASKED-PORT OWN-ADDRESS PEER-ADDRESS...

Each byte that comes at the port is answered by ``L`` (leads), ``F`` (follows, and has caught up) or ``-``.
"""

import socketserver
import sys

from pysyncobj import SyncObj, SyncObjConf


def letter(node: SyncObj) -> bytes:
    """Say what the node is."""
    if node._isLeader():
        return b"L"
    return b"F" if node.isReady() and node._getLeader() is not None else b"-"


def main() -> None:
    journal, port, own, *peers = sys.argv[1:]
    node = SyncObj(own, peers, conf=SyncObjConf(journalFile=journal))

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(1):
                self.request.sendall(letter(node))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", int(port)), Answer) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
