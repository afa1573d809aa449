"""No network in a test: connections to other machines fail, with a word on what to do."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOCAL_NAMES = ("", "localhost", "localhost.localdomain", "ip6-localhost")


class NetworkForbidden(RuntimeError):
    """A test wants to reach another machine."""


@contextmanager
def no_network() -> Iterator[None]:
    """Forbids connections and look-ups beyond this machine, for sockets of Python's own."""
    kept = (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo)
    socket.socket.connect = _guarded(kept[0])  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded(kept[1])  # type: ignore[method-assign]
    socket.getaddrinfo = _guarded_lookup(kept[2])
    try:
        yield
    finally:
        socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = kept  # type: ignore[method-assign]


def _guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return connect(self, address)

    return guarded


def _guarded_lookup(look_up: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        _check(host)
        return look_up(host, *arguments, **options)

    return guarded


def _check(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name.lower() in _LOCAL_NAMES or _loopback(name):
        return
    raise NetworkForbidden(
        f"the test wants to reach {name}. Use a ScriptedModel or a recorded Cassette, or allow it "
        "with @pytest.mark.lmos_network"
    )


def _loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
