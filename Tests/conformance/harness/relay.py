"""A way for TCP connections that can be cut without a word, as when a machine loses its power or a firewall its memory."""

import ctypes
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

# <asm-generic/socket.h>, <linux/bpf_common.h>
_SO_ATTACH_FILTER = 26
_BPF_RET = 0x06

_ESTABLISHED = "01"


@dataclass(frozen=True)
class Cut:
    """A connection that was cut, by the ports of its two ends: (its own, the other one's) as each end sees them."""

    near: tuple[int, int]
    """Of who connected."""
    far: tuple[int, int]
    """Of whom it was passed on to."""


class Relay:
    def __init__(self, port: int) -> None:
        """`port`: of this machine, where connections are passed on to."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._passing = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        # Whoever waits in `accept` is woken by this, and not by `close`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._passing:
            for pair in self._pairs + self._cut:
                _close(pair)

    def cut(self) -> list[Cut]:
        """From now on nothing that either end sends arrives, and neither hears of it. New connections are passed on."""
        with self._passing:
            # What was passed on is acknowledged meanwhile: nothing is sent again, which would be a sign of life.
            time.sleep(0.2)
            pairs, self._pairs = self._pairs, []
            for pair in pairs:
                for end in pair:
                    _make_deaf(end)
            self._cut += pairs
        return [Cut(_ports(near)[::-1], _ports(far)[::-1]) for near, far in pairs]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target), timeout=10)
            except OSError:
                return
            far.settimeout(None)
            with self._passing:
                self._pairs.append((near, far))
            threading.Thread(target=self._pass_on, args=((near, far),), daemon=True).start()

    def _pass_on(self, pair: tuple[socket.socket, socket.socket]) -> None:
        near, far = pair
        with DefaultSelector() as selector:
            selector.register(near, EVENT_READ, far)
            selector.register(far, EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    with self._passing:
                        if pair not in self._pairs:
                            return
                        if not _pass(key.fileobj, key.data):
                            self._pairs.remove(pair)
                            return _close(pair)


def _pass(source: socket.socket, sink: socket.socket) -> bool:
    try:
        data = source.recv(65_536)
        sink.sendall(data)
    except OSError:
        return False
    return bool(data)


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        end.close()


def _ports(end: socket.socket) -> tuple[int, int]:
    return end.getsockname()[1], end.getpeername()[1]


def _make_deaf(end: socket.socket) -> None:
    """The kernel throws away what comes for it, and acknowledges nothing."""
    program = ctypes.create_string_buffer(struct.pack("@HBBI", _BPF_RET, 0, 0, 0))
    end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def is_open(end: tuple[int, int]) -> bool:
    """Whether the kernel has the connection still, as this end sees it."""
    local, remote = (f":{port:04X}" for port in end)
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[1].endswith(local) and row[2].endswith(remote) and row[3] == _ESTABLISHED for row in rows)
