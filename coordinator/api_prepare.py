"""The part of the OMS service that makes canonical intents for clients which cannot; nothing of it is kept."""

from __future__ import annotations

import secrets
import time

from coordinator.chain.evm import EvmChain, any_execution
from coordinator.standing import Stands
from coordinator.tls import Context, peer
from oms_core.chains.evm import native_asset, parse_address, read_unsigned, what_is_signed
from oms_core.chains.intent import (
    Allow,
    Bounds,
    Call,
    Deploy,
    Execution,
    Intent,
    Message,
    Transfer,
    TypedData,
    What,
    check_subject,
    subject_digest,
)
from oms_core.chains.render import render
from oms_core.encoding import decode_one_of, encode
from oms_core.errors import Malformed, NotFound, Reason
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

DEFAULT_FEE = 10**16  # wei: 0.01 of the coin
DEFAULT_GAS_CAP = 500_000
DEFAULT_LIFE = 86_400  # seconds
MAX_ACTION = 64 * 1024  # bytes
_ACTIONS = (Transfer, Allow, Call, Deploy, Message, TypedData)


class PrepareCalls(Stands, pb_grpc.OmsServicer):
    """Intents from what a person or an OMS knows."""

    _chain: EvmChain

    async def PrepareTransfer(self, request: pb.PrepareTransferRequest, context: Context) -> pb.PreparedSubject:
        """A transfer to an address or an address-book entry."""
        peer(context, "oms")
        asset = request.asset or native_asset(self._chain.name)
        action = Transfer(asset, self._destination(request.to), base_units(request.amount))
        return self._prepared(request, action, DEFAULT_GAS_CAP)

    async def PrepareIntent(self, request: pb.PrepareIntentRequest, context: Context) -> pb.PreparedSubject:
        """Any action; or what an unsigned transaction says, whose nonce, gas and fees are then chosen anew."""
        peer(context, "oms")
        if bool(request.action) == bool(request.unsigned):
            raise Malformed("either an action or an unsigned transaction")
        if request.action:
            kinds: tuple[type[What], ...] = _ACTIONS
            return self._prepared(request, decode_one_of(kinds, request.action, MAX_ACTION), request.gas_limit_cap)
        if len(request.unsigned) > MAX_ACTION:
            raise Malformed(f"a transaction has at most {MAX_ACTION} bytes", Reason.TOO_LARGE)
        action, asked, _ = read_unsigned(request.unsigned, self._chain.name)
        return self._prepared(request, action, request.gas_limit_cap or asked.gas_limit, asked)

    def _prepared(
        self,
        request: pb.PrepareTransferRequest | pb.PrepareIntentRequest,
        action: What,
        gas_cap: int,
        asked: Execution | None = None,
    ) -> pb.PreparedSubject:
        now = int(time.time())
        signed_only = isinstance(action, Message | TypedData)
        fee = str(asked.gas_limit * asked.max_fee_per_gas) if asked else str(DEFAULT_FEE)
        intent = Intent(
            intent_id=request.intent_id or f"int_{secrets.token_hex(13)}",
            wallet_id=request.wallet_id,
            path=tuple(request.path),
            chain=self._chain.name,
            action=action,
            bounds=Bounds(0, 0)
            if signed_only
            else Bounds(base_units(request.max_fee_total or fee), gas_cap or DEFAULT_GAS_CAP),
            initiator=request.initiator,
            purpose=request.purpose,
            valid_from=now,
            valid_until=now + (request.valid_seconds or DEFAULT_LIFE),
        )
        check_subject(intent, now)
        what_is_signed(intent, None if signed_only else any_execution(intent))
        lines = render(intent, self._workspace).lines
        return pb.PreparedSubject(subject=encode(intent), digest=subject_digest(intent), lines=lines)

    def _destination(self, text: str) -> bytes:
        if not text.startswith("entry:"):
            return parse_address(text)
        for entry in self._workspace.address_book:
            if entry.entry_id == text.removeprefix("entry:") and entry.chain == self._chain.name:
                return entry.address
        raise NotFound(f"no address-book entry {text[:60]!r}", Reason.BAD_ADDRESS)


def base_units(text: str) -> int:
    """A whole number of base units. Raises `Malformed`: PRECISION, NEGATIVE_AMOUNT, MALFORMED."""
    if "." in text:
        raise Malformed(f"{text[:40]} is not in whole base units", Reason.PRECISION)
    if text.startswith("-"):
        raise Malformed(f"{text[:40]} is negative", Reason.NEGATIVE_AMOUNT)
    if not text.isascii() or not text.isdigit() or len(text) > 78:
        raise Malformed(f"{text[:40]!r} is not an amount in base units")
    return int(text)
