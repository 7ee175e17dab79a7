"""Ethereum JSON-RPC 2.0 over HTTP, over several addresses in order of preference."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx

from coordinator.chain.fates import is_trouble
from oms_core.errors import CountersealError, Reason, Unavailable

_SECONDS = 10.0  # for each part of an answer
MANY = 2**53  # more than there are blocks, or transactions of an account
_WHOLE = 30.0  # for all of it: who sends a byte now and then would hold an order up for ever


class RpcError(CountersealError):
    """The node answered with an error; ``code`` is JSON-RPC's, the message is the node's."""

    default_reason = Reason.BROADCAST_REJECTED

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the node answered: {message[:300]}")
        self.code, self.words = code, message


class Rpc:
    """A client of one chain. Raises `Unavailable` (CHAIN_UNAVAILABLE) when no address answers."""

    def __init__(self, urls: tuple[str, ...], client: httpx.AsyncClient | None = None) -> None:
        self._urls = urls
        self._client = client or httpx.AsyncClient(timeout=_SECONDS, trust_env=False)
        self._ids = itertools.count(1)

    def apart(self) -> tuple[Rpc, ...]:
        """Each address by itself, for what is asked of all of them."""
        return tuple(Rpc((url,), self._client) for url in self._urls)

    async def call(self, method: str, *params: object) -> Any:
        """The result of a call. Raises `RpcError` for the node's own no.

        An address that says that it cannot answer now, as one that is asked too often, is passed over as one that is
        away.
        """
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        text = "no chain node answers"
        for url in self._urls:
            try:
                async with asyncio.timeout(_WHOLE):
                    response = await self._client.post(url, json=body)
                response.raise_for_status()
                answer = response.json()
            except (httpx.HTTPError, ValueError, RecursionError, TimeoutError):
                continue
            if not isinstance(answer, dict) or answer.get("id") != body["id"]:
                continue
            if not (error := answer.get("error")):
                return answer.get("result")
            if isinstance(error, dict):
                code, message = error.get("code"), _shown(str(error.get("message", "")))
                code = code if isinstance(code, int) else 0
                if not is_trouble(code, message):
                    raise RpcError(code, message)
                text = f"the chain node cannot answer now: {message[:300]}"
        raise Unavailable(text, Reason.CHAIN_UNAVAILABLE)

    async def number(self, method: str, *params: object, below: int = 2**256) -> int:
        """The result of a call that gives a quantity, which is less than ``below``."""
        try:
            found = int(await self.call(method, *params), 16)
        except (TypeError, ValueError):
            found = -1
        if not 0 <= found < below:
            raise Unavailable(f"the node's answer to {method} is no quantity", Reason.CHAIN_UNAVAILABLE)
        return found

    async def count(self, method: str, *params: object) -> int:
        """As `number`: of blocks or transactions, which a database can keep."""
        return await self.number(method, *params, below=MANY)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


def _shown(message: str) -> str:
    """What a node says, as people and databases can be shown it: no control characters, no halves of characters."""
    return "".join(c for c in " ".join(message.split()) if c.isprintable())
