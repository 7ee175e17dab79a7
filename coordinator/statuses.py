"""Errors to gRPC statuses: one table, one interceptor. Every refusal carries google.rpc.ErrorInfo with its reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from coordinator.tls import Context
from oms_core.errors import (
    Conflict,
    CountersealError,
    LocalError,
    Malformed,
    NotFound,
    ProtocolAbort,
    Reason,
    Refused,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger()
DOMAIN = "counterseal"

_CODES: list[tuple[type[CountersealError], int]] = [
    (Malformed, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (Conflict, code_pb2.ALREADY_EXISTS),
    (Refused, code_pb2.PERMISSION_DENIED),
    (Unauthenticated, code_pb2.UNAUTHENTICATED),
    (Unavailable, code_pb2.UNAVAILABLE),
    (ProtocolAbort, code_pb2.ABORTED),
    (LocalError, code_pb2.INTERNAL),
]


def status_of(error: Exception) -> Any:
    """The gRPC status of an error; what we did not expect shows nothing of itself."""
    if isinstance(error, CountersealError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
        reason, text, details = str(error.reason), error.message, dict(error.details)
    else:
        code, reason, text, details = code_pb2.INTERNAL, str(Reason.INTERNAL), "internal error", {}
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=details))
    return rpc_status.to_status(status_pb2.Status(code=code, message=text, details=[info]))


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns every exception of a method into its status, so that no method body needs a ``try``."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary, method), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, method), handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            _stream(handler.stream_stream, method), handler.request_deserializer, handler.response_serializer
        )


def _unary(behaviour: Any, method: str) -> Any:
    async def call(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - becomes a status
            await _end(error, method, context)

    return call


def _stream(behaviour: Any, method: str) -> Any:
    async def call(request: Any, context: Context) -> Any:
        try:
            async for response in behaviour(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 - becomes a status
            await _end(error, method, context)

    return call


async def _end(error: Exception, method: str, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, CountersealError):
        log.exception("internal error", method=method, kind=type(error).__name__)
    await context.abort_with_status(status_of(error))
