"""Nothing beyond loopback: while it is blocked, this process connects to no other machine and looks up no name."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["NetworkBlocked", "block_network"]

LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
INTERNET = (socket.AF_INET, socket.AF_INET6)

_blocks: list[list[str]] = []
"""What was refused in each block that is open, the innermost last."""
_hooked: list[bool] = []
"""Holds one item once the hook is there: Python takes none off again."""


class NetworkBlocked(PermissionError):
    """Somebody tried to reach another machine where only this one may be reached.

    An OSError, as a connection that is refused: clients close what they opened, and say which host it was.
    """


@contextmanager
def block_network() -> Generator[list[str]]:
    """Refuse connections and look-ups beyond loopback, in all threads; the list gets the places that were refused.

    An error is easily swallowed, by a way round above all: look at the list. It reaches what goes through Python's
    `socket`, and no other process. Blocks nest, and the innermost keeps the list.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
    refused: list[str] = []
    _blocks.append(refused)
    try:
        yield refused
    finally:
        _blocks[:] = [each for each in _blocks if each is not refused]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    """Raise where a socket is to reach further than loopback; told of everything that Python audits, so it is brief."""
    if not _blocks or not event.startswith("socket."):
        return
    if event in SENDS and args[0].family in INTERNET and args[1].__class__ is tuple:
        host, port = _text(args[1][0]), args[1][1]
    elif event in LOOKUPS:
        host, port = _text(args[0]), args[1] if len(args) > 1 else None
    else:
        return
    if not _is_near(host):
        place = f"{host}:{port}" if port else host
        _blocks[-1].append(place)
        raise NetworkBlocked(f"{place} may not be reached from a test: the network is blocked beyond loopback")


def _text(host: object) -> str:
    if host is None:
        return ""
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


def _is_near(host: str) -> bool:
    if host in {"", "localhost"} or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
