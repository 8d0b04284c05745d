"""When the kernel handed the last byte of a request to the network, on Linux (`SO_TIMESTAMPING`, timestamping.txt).

A clock that is read before `send` is early by as long as the process is held up between the two: 3 microseconds on a
quiet machine, and milliseconds on a busy one. The kernel reports its own stamps in the socket's error queue, each with
the number of the byte that it is for. Until the queue is read, `poll` reports an error of the socket.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator

# asm-generic/socket.h, linux/net_tstamp.h, linux/errqueue.h, in.h and in6.h
_SO_TIMESTAMPING = 37
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
_ORIGIN_TIMESTAMPING, _SENT = 4, 0
_ERRORS = {(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)}
_TIMESPEC = struct.Struct("@ll")
#: errno, origin, type, code, padding, info, data
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
#: Both kinds of stamp, and an error with an address.
_ANCILLARY_BYTES = 256


def enable(sock: socket.socket) -> bool:
    """Ask for a stamp of all that is sent on this connection, of which nothing was sent yet. Return whether it works.

    Bytes are numbered from 0 on.
    """
    if sys.platform not in ("linux", "android") or _TIMESPEC.size != 16:
        return False
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY)
        return True
    return False


def read(sock: socket.socket) -> Iterator[tuple[int, int]]:
    """Yield from the error queue the number of a byte (modulo 2**32) and when it was sent, in ns on the wall clock.

    A queue that was read to its end no longer wakes a poll.
    """
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
        except OSError:  # empty, or the connection is gone, which the next read reports
            return
        sent_ns = number = None
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
                seconds, nanoseconds = _TIMESPEC.unpack_from(payload)
                sent_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) in _ERRORS and len(payload) >= _EXTENDED_ERROR.size:
                code, origin, _, _, _, info, data = _EXTENDED_ERROR.unpack_from(payload)
                if code == errno.ENOMSG and origin == _ORIGIN_TIMESTAMPING and info == _SENT:
                    number = data
        if sent_ns and number is not None:
            yield number, sent_ns
