"""Keeps a Python process on this machine.

Importing this module installs an audit hook, which sees every connection and
every name that the interpreter looks up, whatever library asks. It cannot be
taken out again. `guard/sitecustomize.py` imports it in subprocesses.
"""

import ipaddress
import sys


class LeavesLoopback(BaseException):
    """Somebody wanted to leave this machine.

    No `Exception`: a client that retries on all of those must not hide it.
    """


def _is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        # Addresses of Unix sockets are no tuples.
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _is_loopback(host):
        raise LeavesLoopback(f"`{host}` is not on this machine ({event})")


sys.addaudithook(_watch)
