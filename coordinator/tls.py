"""Mutual TLS on both ports: who may speak where is told by the URI in the client's certificate."""

from __future__ import annotations

import re
from typing import Any

import grpc

from coordinator.config import Config
from oms_core.errors import LocalError, Reason, Unauthenticated

Context = grpc.aio.ServicerContext[Any, Any]

_URI = re.compile(r"spiffe://counterseal/(coordinator|cosigner|oms)/([a-z0-9.-]{1,63})\Z")


def server_credentials(config: Config) -> grpc.ServerCredentials:
    """Requires a client certificate of the private CA. Raises `LocalError` if a file is missing."""
    try:
        ca, cert, key = (path.read_bytes() for path in (config.tls.ca, config.tls.cert, config.tls.key))
    except OSError as error:
        raise LocalError(f"cannot read {error.filename}", Reason.CONFIG_INVALID) from None
    return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)


def peer(context: Context, kind: str) -> str:
    """The name in the peer's certificate. Raises `Unauthenticated` if it is not of this kind."""
    names = context.auth_context().get("x509_subject_alternative_name", [])
    for name in names:
        match = _URI.match(name.decode(errors="replace"))
        if match and match.group(1) == kind:
            return match.group(2)
    raise Unauthenticated(f"this port is for {kind} certificates", Reason.PEER_IDENTITY)


def server_options(config: Config) -> list[tuple[str, int]]:
    """Size limits and keepalive of both servers."""
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.http2.ping_timeout_ms", 3_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.so_reuseport", 0),
    ]
