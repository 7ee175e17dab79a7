"""Ethereum JSON-RPC 2.0 over HTTP, over several addresses in order of preference."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from oms_core.errors import CountersealError, Reason, Unavailable

_SECONDS = 10.0


class RpcError(CountersealError):
    """The node answered with an error; ``code`` is JSON-RPC's, the message is the node's."""

    default_reason = Reason.BROADCAST_REJECTED

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the node answered: {message[:300]}")
        self.code = code


class Rpc:
    """A client of one chain. Raises `Unavailable` (CHAIN_UNAVAILABLE) when no address answers."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls
        self._client = httpx.AsyncClient(timeout=_SECONDS, trust_env=False)
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: object) -> Any:
        """The result of a call. Raises `RpcError` for the node's own no."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        for url in self._urls:
            try:
                response = await self._client.post(url, json=body)
                response.raise_for_status()
                answer = response.json()
            except (httpx.HTTPError, ValueError):
                continue
            if not isinstance(answer, dict) or answer.get("id") != body["id"]:
                continue
            if not (error := answer.get("error")):
                return answer.get("result")
            if isinstance(error, dict):
                code = error.get("code")
                raise RpcError(code if isinstance(code, int) else 0, str(error.get("message", "")))
        raise Unavailable("no chain node answers", Reason.CHAIN_UNAVAILABLE)

    async def number(self, method: str, *params: object) -> int:
        """The result of a call that gives a quantity."""
        try:
            return int(await self.call(method, *params), 16)
        except (TypeError, ValueError):
            raise Unavailable(f"the node's answer to {method} is no quantity", Reason.CHAIN_UNAVAILABLE) from None

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()
