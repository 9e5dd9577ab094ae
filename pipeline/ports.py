"""Ports of the local servers; all listen on 127.0.0.1 only."""

import socket

HOST = "127.0.0.1"


def free_port(wanted: int) -> int:
    """Return `wanted`, or a free port chosen by the system where that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError(f"no free port on {HOST}")
