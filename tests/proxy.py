"""A network between a process and its PostgreSQL server that fails when it is told to: a proxy on loopback."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ATTACH_FILTER, DETACH_FILTER = 26, 27
"""Linux's options of a socket, which Python does not name."""

NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
"""A packet filter of one instruction: let no byte in."""


class Proxy:
    """Passes on what is sent to it, and what is answered, until it drops the connections, or falls silent.

    Attributes:
        port: on 127.0.0.1.
        sent: messages from clients so far.
        cut_at: the message whose connection is cut, and all others with it, once.
        answered: whether that message still arrives, and only its answer is lost.
        cuts: how many times it has dropped connections.
    """

    def __init__(self, server: int) -> None:
        self._server, self._listener = server, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = self.cuts = 0
        self.cut_at: int | None = None
        self.answered = False
        self._open: set[socket.socket] = set()
        self._away = self._silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Cut all connections."""
        self.cuts += 1
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Cut all, and take no more, until `back`."""
        self._away = True
        self.drop()

    def fall_silent(self) -> None:
        """Lose each packet that comes, as a firewall does, and acknowledge none, until `back`; nothing is closed."""
        self._silent = True  # first: who connects meanwhile looks
        for end in (self._listener, *self._open):
            _lose_packets(end)

    def back(self) -> None:
        """Take connections again, and what is sent again of that which was lost."""
        self._away = self._silent = False
        for end in (self._listener, *self._open):
            with suppress(OSError):  # it had lost none
                end.setsockopt(socket.SOL_SOCKET, DETACH_FILTER, 0)

    def close(self) -> None:
        """For good."""
        self._away = True
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self._away:
                return
            with socket.create_connection(("127.0.0.1", self._server)) as server:
                pair = {client, server}
                self._open |= pair
                if self._silent:
                    for end in pair:
                        _lose_packets(end)
                try:
                    while self._step(client, server):
                        pass
                finally:
                    self._open -= pair

    def _step(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass something on; whether the connection lasts."""
        for end in select.select([client, server], [], [])[0]:
            if not (data := end.recv(65536)):
                return False
            if end is server:
                client.sendall(data)
                continue
            self.sent += 1
            if self.sent == self.cut_at:
                if self.answered:
                    server.sendall(data)
                    server.recv(65536)
                self.drop()
                return False
            server.sendall(data)
        return True


def _lose_packets(end: socket.socket) -> None:
    with suppress(OSError):  # it has just been closed
        end.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(NOTHING)))


@contextmanager
def proxied(server: int) -> Iterator[Proxy]:
    """A proxy to that port."""
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
