"""What people were tricked into: everybody has truly approved it, and the rules do not have it (C01, C16, C19, C20).

Calldata is made by another library than the one that reads it.
"""

from __future__ import annotations

from dataclasses import replace

from eth_abi.abi import encode as abi

from oms_core.chains.intent import Allow, Bounds, Call, Deploy, Message, Transfer, TypedData, What
from oms_core.errors import Reason
from tests.attack.coordinator.approvals import instead
from tests.attack.coordinator.lies import lie
from tests.attack.coordinator.orders import PERMIT
from tests.attack.coordinator.scene import Attempt, Scene, deposit
from tests.attack.coordinator.world import (
    COIN,
    DENIED,
    KNOWN,
    OLD_ROUTER,
    ROUTER,
    STRANGE,
    SUSPENDED,
    TOKEN,
    TOKEN_ADDRESS,
)

MAX = (1 << 256) - 1
NO_PERMIT = (Reason.NO_PERMIT,)


def _approved(scene: Scene, attempt: Attempt, what: What, **changes: object) -> Attempt:
    return instead(attempt, scene.legal(what, ("olga", "ravi", "sam"), **changes))


def call(selector: str, types: list[str], values: list[object]) -> bytes:
    return bytes.fromhex(selector) + abi(types, values)


def transfer(to: bytes, amount: int) -> bytes:
    return call("a9059cbb", ["address", "uint256"], [to, amount])


def multicall(*inside: bytes) -> bytes:
    return call("ac9650d8", ["bytes[]"], [list(inside)])


def executed(to: bytes, data: bytes, operation: int) -> bytes:
    """A Safe's execTransaction."""
    kinds = ["address", "uint256", "bytes", "uint8", *["uint256"] * 3, "address", "address", "bytes"]
    return call("6a761202", kinds, [to, 0, data, operation, 0, 0, 0, bytes(20), bytes(20), b""])


@lie("C01", "A06", reasons=NO_PERMIT)
def approved_to_a_stranger(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Transfer(scene.random.choice((COIN, TOKEN)), STRANGE, 1))


@lie("C01", reasons=(Reason.DENIED_BY_RULE,))
def approved_to_whom_a_rule_denies(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Transfer(scene.random.choice((COIN, TOKEN)), DENIED, 1))


@lie("C01", reasons=(Reason.ENTRY_SUSPENDED,))
def approved_to_a_suspended_entry(scene: Scene, attempt: Attempt) -> Attempt:
    what = Transfer(COIN, SUSPENDED, 1), Call(OLD_ROUTER, 0, deposit(1, KNOWN))
    return _approved(scene, attempt, scene.random.choice(what))


@lie("C01", reasons=(Reason.LIMIT_EXCEEDED,))
def approved_above_the_limit(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Transfer(COIN, KNOWN, scene.random.choice((1001, 10**6, 1 << 255))))


@lie("C20", reasons=(Reason.UNLIMITED_ALLOWANCE,))
def approved_an_allowance_without_end(scene: Scene, attempt: Attempt) -> Attempt:
    spender = scene.random.choice((ROUTER, STRANGE))
    raw = call("095ea7b3", ["address", "uint256"], [spender, MAX])
    return _approved(scene, attempt, scene.random.choice((Allow(TOKEN, spender, MAX), Call(TOKEN_ADDRESS, 0, raw))))


@lie("C20", reasons=NO_PERMIT)
def approved_an_allowance_for_a_stranger(scene: Scene, attempt: Attempt) -> Attempt:
    raw = scene.random.choice(("095ea7b3", "39509351"))  # approve, increaseAllowance
    data = call(raw, ["address", "uint256"], [STRANGE, 5])
    return _approved(scene, attempt, scene.random.choice((Allow(TOKEN, STRANGE, 5), Call(TOKEN_ADDRESS, 0, data))))


@lie("C20", reasons=(Reason.OPAQUE_CALL,))
def approved_a_call_that_nobody_can_read(scene: Scene, attempt: Attempt) -> Attempt:
    selectors = ("3659cfe6", "4f1ef286", "f2fde38b", "13af4035", "ffffffff")  # upgrades, new owners, …
    data = call(scene.random.choice(selectors), ["address"], [STRANGE])
    return _approved(scene, attempt, Call(scene.random.choice((ROUTER, STRANGE)), 0, data))


@lie("C20", reasons=NO_PERMIT)
def approved_a_method_that_no_rule_permits(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Call(ROUTER, 0, call("ece53132", ["address"], [STRANGE])))


@lie("C20", reasons=(Reason.ACTION_MISMATCH,))
def approved_the_shape_of_a_transfer_to_what_is_no_token(scene: Scene, attempt: Attempt) -> Attempt:
    """The shape of the Bybit theft, also where the address was listed by mistake."""
    return _approved(scene, attempt, Call(scene.random.choice((KNOWN, ROUTER, STRANGE)), 0, transfer(KNOWN, 1)))


@lie("C20", reasons=NO_PERMIT)
def approved_a_transfer_dressed_as_a_call(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Call(TOKEN_ADDRESS, 0, transfer(STRANGE, 1)))


@lie("C20", reasons=(Reason.ACTION_MISMATCH,))
def approved_a_transfer_inside_other_calls(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Call(ROUTER, 0, multicall(deposit(1, KNOWN), transfer(STRANGE, 1))))


@lie("C20", reasons=NO_PERMIT)
def approved_a_foreign_method_inside_other_calls(scene: Scene, attempt: Attempt) -> Attempt:
    drain = call("ece53132", ["address"], [STRANGE])
    inside = multicall(deposit(1, KNOWN), drain), multicall(deposit(1, KNOWN), multicall(drain))
    return _approved(scene, attempt, Call(ROUTER, 0, scene.random.choice(inside)))


@lie("C20", reasons=(Reason.ACTION_MISMATCH,))
def approved_a_delegation(scene: Scene, attempt: Attempt) -> Attempt:
    """Foreign code in our account's name, which no rule can allow."""
    return _approved(scene, attempt, Call(ROUTER, 0, executed(STRANGE, deposit(1, KNOWN), 1)))


@lie("C20", reasons=(Reason.TOO_LARGE,))
def approved_calls_too_deep_to_follow(scene: Scene, attempt: Attempt) -> Attempt:
    data = deposit(1, KNOWN)
    for _ in range(scene.random.choice((6, 40))):
        data = multicall(data)
    return _approved(scene, attempt, Call(ROUTER, 0, data))


@lie("C20", reasons=NO_PERMIT)
def approved_a_deployment(scene: Scene, attempt: Attempt) -> Attempt:
    return _approved(scene, attempt, Deploy(0, bytes.fromhex("6000600055")))


@lie("C19", reasons=NO_PERMIT)
def approved_a_message(scene: Scene, attempt: Attempt) -> Attempt:
    made = _approved(scene, attempt, Message("Log in as the treasury."), bounds=Bounds(0, 0))
    return replace(made, execution=None)


@lie("C19", reasons=NO_PERMIT)
def approved_a_permit_for_a_stranger(scene: Scene, attempt: Attempt) -> Attempt:
    return replace(_approved(scene, attempt, TypedData(PERMIT), bounds=Bounds(0, 0)), execution=None)


@lie("C16", reasons=(Reason.EXPIRED,))
def approved_and_over(scene: Scene, attempt: Attempt) -> Attempt:
    made = scene.legal(None, None, valid_from=scene.now - 7200, valid_until=scene.now - scene.random.randint(0, 60))
    return instead(attempt, made)


@lie("C16", reasons=(Reason.EXPIRED,))
def approved_and_not_yet(scene: Scene, attempt: Attempt) -> Attempt:
    made = scene.legal(None, None, valid_from=scene.now + scene.random.randint(61, 999), valid_until=scene.now + 9999)
    return instead(attempt, made)
