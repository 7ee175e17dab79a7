"""Calls inside calls: every shape that is known, and that nothing in one can hide."""

from __future__ import annotations

from dataclasses import replace

import eth_abi
import pytest

from oms_core.chains.abi import encode, method, parse_type
from oms_core.chains.effects import operations
from oms_core.chains.intent import Call, Intent
from oms_core.chains.operations import Operation
from oms_core.chains.wrappers import WRAPPERS
from oms_core.errors import CountersealError, Reason
from oms_core.policy.rules import Action
from oms_core.workspace import ContractEntry
from tests.unit.chains.world import (
    COIN,
    KNOWN,
    MULTICALL,
    MULTISEND,
    PERMIT2,
    ROUTER,
    SAFE,
    STRANGE,
    SWAP,
    TOKEN,
    UNIVERSAL,
    USDC,
    WETH,
    called,
    contract,
    order,
    workspace,
)

SEND = method("transfer(address,uint256)").encode(KNOWN, 7)
RUN = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
NONE = bytes(20)


def does(intent: Intent, *more: ContractEntry) -> tuple[Operation, ...]:
    known = workspace()
    return operations(intent, replace(known, contracts=(*known.contracts, *more)))


def why(intent: Intent, *more: ContractEntry) -> Reason:
    with pytest.raises(CountersealError) as caught:
        does(intent, *more)
    return caught.value.reason


def packed(*calls: tuple[int, bytes, int, bytes]) -> bytes:
    """As MultiSend takes them."""
    return b"".join(
        bytes([operation]) + to + value.to_bytes(32, "big") + len(data).to_bytes(32, "big") + data
        for operation, to, value, data in calls
    )


BATCH = encode([parse_type("(address,uint256,bytes)[]")], [((TOKEN, 0, SEND),)])
OLD = "handleOps((address,uint256,bytes,bytes,uint256,uint256,uint256,uint256,uint256,bytes,bytes)[],address)"
NEW = "handleOps((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)[],address)"
EXECUTE = method("execute(address,uint256,bytes)").encode(TOKEN, 0, SEND)
SHAPES: dict[str, tuple[object, ...]] = {
    "aggregate((address,bytes)[])": (((TOKEN, SEND),),),
    "blockAndAggregate((address,bytes)[])": (((TOKEN, SEND),),),
    "tryAggregate(bool,(address,bytes)[])": (True, ((TOKEN, SEND),)),
    "tryBlockAndAggregate(bool,(address,bytes)[])": (True, ((TOKEN, SEND),)),
    "aggregate3((address,bool,bytes)[])": (((TOKEN, True, SEND),),),
    "aggregate3Value((address,bool,uint256,bytes)[])": (((TOKEN, True, 0, SEND),),),
    "multiSend(bytes)": (packed((0, TOKEN, 0, SEND)),),
    RUN: (TOKEN, 0, SEND, 0, 0, 0, 0, NONE, NONE, b""),
    "execTransactionFromModule(address,uint256,bytes,uint8)": (TOKEN, 0, SEND, 0),
    "execTransactionFromModuleReturnData(address,uint256,bytes,uint8)": (TOKEN, 0, SEND, 0),
    "execute(address,uint256,bytes)": (TOKEN, 0, SEND),
    "execute(address,uint256,bytes,uint8)": (TOKEN, 0, SEND, 0),
    "execute((address,uint256,bytes)[])": (((TOKEN, 0, SEND),),),
    "execute(bytes32,bytes)": (bytes(32), TOKEN + bytes(32) + SEND),
    "execute(address[],uint256[],bytes[])": ((TOKEN,), (0,), (SEND,)),
    "executeBatch(address[],bytes[])": ((TOKEN,), (SEND,)),
    "executeBatch(address[],uint256[],bytes[])": ((TOKEN,), (0,), (SEND,)),
    "executeBatch((address,uint256,bytes)[])": (((TOKEN, 0, SEND),),),
}


@pytest.mark.parametrize("signature", SHAPES)
def test_a_transfer_inside_a_wrapper_is_found(signature: str) -> None:
    wrapper = contract("wrapper", STRANGE, (), (signature,))
    outer, inner = does(called(STRANGE, signature, *SHAPES[signature]), wrapper)
    assert (outer.action, outer.method, outer.depth, outer.opaque) == (Action.CALL, signature, 0, False)
    assert (inner.action, inner.asset, inner.amount, inner.depth) == (Action.TRANSFER, USDC, 7, 1)
    assert (inner.delegate, inner.counterparty) == (False, KNOWN)


@pytest.mark.parametrize("signature", SHAPES)
def test_a_wrapper_that_nobody_registered_is_looked_into_and_is_opaque_itself(signature: str) -> None:
    outer, inner = does(called(STRANGE, signature, *SHAPES[signature]))
    assert (outer.method, outer.opaque, inner.action) == ("", True, Action.TRANSFER)


def test_all_wrappers_that_are_known_are_tested() -> None:
    others = {
        "multicall(bytes[])",
        "multicall(uint256,bytes[])",
        "multicall(bytes32,bytes[])",
        "execute(address,bytes)",
    }
    assert {one.method.signature for one in WRAPPERS.values()} == {*SHAPES, *others, OLD, NEW}


@pytest.mark.parametrize("first", [(), (5,), (bytes(32),)])
def test_a_contract_that_calls_itself_is_asked_for_its_own_methods(first: tuple[object, ...]) -> None:
    signature = {0: "multicall(bytes[])", 5: "multicall(uint256,bytes[])"}.get(
        first[0] if first else 0,  # type: ignore[arg-type]
        "multicall(bytes32,bytes[])",
    )
    swap = method(SWAP).encode(1, 2, (TOKEN, WETH), KNOWN, 9)
    router = contract("mine", STRANGE, (SWAP,), (signature,))
    outer, known, unknown = does(called(STRANGE, signature, *first, (swap, b"abcdefgh"), value=3), router)
    assert (outer.value, known.value, known.target, known.method) == (3, 0, STRANGE, SWAP)
    assert (unknown.method, unknown.opaque, unknown.depth) == ("", True, 1)


def test_a_tokens_movement_inside_a_contracts_own_calls_is_refused() -> None:
    assert why(called(ROUTER, "multicall(bytes[])", (SEND,))) is Reason.ACTION_MISMATCH


def test_coins_inside_a_wrapper_are_transfers_too() -> None:
    values = "aggregate3Value((address,bool,uint256,bytes)[])"
    outer, inner = does(called(MULTICALL, values, ((KNOWN, False, 5, b""),), value=5))
    assert (outer.value, inner.action, inner.asset, inner.amount, inner.value) == (5, Action.TRANSFER, COIN, 5, 5)


def test_multisend_in_a_safe_is_read_two_levels_deep_and_its_delegation_is_seen() -> None:
    """The usual way of a Safe: it runs MultiSend's code as its own, which then makes the calls."""
    inside = method("multiSend(bytes)").encode(packed((0, TOKEN, 0, SEND), (1, WETH, 0, b"abcd"), (0, KNOWN, 5, b"")))
    made = does(called(SAFE, RUN, MULTISEND, 0, inside, 1, 0, 0, 0, NONE, NONE, b""))
    assert [(one.depth, one.action, one.delegate) for one in made] == [
        (0, Action.CALL, False),
        (1, Action.CALL, True),
        (2, Action.TRANSFER, False),
        (2, Action.CALL, True),
        (2, Action.TRANSFER, False),
    ]
    assert made[1].method == "multiSend(bytes)"


def test_a_proxy_that_runs_foreign_code_is_seen_to_delegate() -> None:
    outer, inner = does(called(STRANGE, "execute(address,bytes)", KNOWN, b"abcdefgh"))
    assert (outer.opaque, inner.target, inner.delegate, inner.opaque) == (True, KNOWN, True, True)
    _, empty = does(called(STRANGE, "execute(address,bytes)", KNOWN, b""))
    assert (empty.action, empty.delegate) == (Action.CALL, True)


@pytest.mark.parametrize(
    ("mode", "data", "delegate"),
    [
        (b"\x00", TOKEN + bytes(32) + SEND, False),
        (b"\x01", BATCH, False),
        (b"\xff", TOKEN + SEND, True),
        (b"\x00\x01", TOKEN + bytes(32) + SEND, False),
    ],
)
def test_the_modes_of_a_modular_account_are_told_apart(mode: bytes, data: bytes, delegate: bool) -> None:
    _, inner = does(called(STRANGE, "execute(bytes32,bytes)", mode.ljust(32, b"\0"), data))
    assert (inner.action, inner.amount, inner.delegate) == (Action.TRANSFER, 7, delegate)


USER = (STRANGE, 0, b"", EXECUTE, 1, 2, 3, 4, 5, b"", b"sig")
PACKED = (STRANGE, 0, b"", EXECUTE, bytes(32), 3, bytes(32), b"", b"sig")


@pytest.mark.parametrize(("signature", "operation"), [(OLD, USER), (NEW, PACKED)])
def test_operations_of_users_are_read_through_their_accounts(signature: str, operation: tuple[object, ...]) -> None:
    entry = contract("entry", MULTICALL, (), (signature,))
    known = replace(workspace(), contracts=(entry,))
    outer, account, transfer = operations(called(MULTICALL, signature, (operation,), KNOWN), known)
    assert (outer.opaque, account.target, account.opaque) == (False, STRANGE, True)
    assert (transfer.action, transfer.depth, transfer.amount) == (Action.TRANSFER, 2, 7)


@pytest.mark.parametrize("at", [2, 9])
def test_an_operation_that_creates_its_account_or_lets_another_pay_is_opaque(at: int) -> None:
    operation = (*USER[:at], b"x", *USER[at + 1 :])
    (outer,) = operations(
        called(MULTICALL, OLD, (operation,), KNOWN),
        replace(workspace(), contracts=(contract("entry", MULTICALL, (), (OLD,)),)),
    )
    assert outer.opaque


HALF = packed((0, TOKEN, 0, SEND))
UNREADABLE: list[tuple[str, tuple[object, ...]]] = [
    ("multiSend(bytes)", (HALF[:-1],)),
    ("multiSend(bytes)", (HALF + b"\0",)),
    ("multiSend(bytes)", (HALF[:84],)),
    ("multiSend(bytes)", (packed((2, TOKEN, 0, SEND)),)),
    ("multiSend(bytes)", (HALF[:53] + b"\xff" * 32 + SEND,)),
    (RUN, (TOKEN, 0, SEND, 2, 0, 0, 0, NONE, NONE, b"")),
    (RUN, (TOKEN, 0, SEND, 0, 0, 9, 1, NONE, STRANGE, b"")),  # it pays a stranger for the gas
    ("executeBatch(address[],bytes[])", ((TOKEN, WETH), (SEND,))),
    ("executeBatch(address[],uint256[],bytes[])", ((TOKEN,), (0, 0), (SEND,))),
    ("execute(bytes32,bytes)", (b"\x01" + bytes(31), BATCH + bytes(32))),
    ("execute(bytes32,bytes)", (b"\x02" + bytes(31), BATCH)),
    ("execute(bytes32,bytes)", (b"\x00\x00\x00\x01" + bytes(28), TOKEN + bytes(32) + SEND)),
    ("execute(bytes32,bytes)", (bytes(32), TOKEN)),
]


@pytest.mark.parametrize(("signature", "values"), UNREADABLE)
def test_a_wrapper_that_cannot_be_read_whole_is_opaque(signature: str, values: tuple[object, ...]) -> None:
    (outer,) = does(called(STRANGE, signature, *values), contract("wrapper", STRANGE, (), (signature,)))
    assert (outer.opaque, outer.method) == (True, "")


def test_a_wrapper_that_is_encoded_otherwise_than_canonically_is_opaque() -> None:
    """Contracts read it all the same: an array's two members may point to one place."""
    data = bytearray(method("multicall(bytes[])").encode((SEND, SEND)))
    data[4 + 96 + 31] = data[4 + 64 + 31]  # both offsets
    assert eth_abi.decode(["bytes[]"], bytes(data[4:])) == ((SEND, SEND),)
    (outer,) = does(order(Call(ROUTER, 0, bytes(data))))
    assert outer.opaque


def test_a_wrapper_of_a_shape_that_is_not_known_is_opaque_though_it_is_registered() -> None:
    shape = "batch((bytes,address)[])"
    (outer,) = does(called(STRANGE, shape, ((SEND, TOKEN),)), contract("wrapper", STRANGE, (), (shape,)))
    assert outer.opaque
    (listed,) = does(called(STRANGE, shape, ((SEND, TOKEN),)), contract("wrapper", STRANGE, (shape,)))
    assert not listed.opaque


ANY = (1).to_bytes(20, "big")
SELF = (2).to_bytes(20, "big")
PERMIT_ALL = "(address,uint160,uint48,uint48)"


def program(*steps: tuple[int, str, tuple[object, ...]]) -> tuple[bytes, tuple[bytes, ...]]:
    inputs = (method(f"f({kinds})").encode(*values)[4:] for _, kinds, values in steps)  # type: ignore[arg-type]
    return bytes(command for command, _, _ in steps), tuple(inputs)


def runs(*steps: tuple[int, str, tuple[object, ...]]) -> list[tuple[object, ...]]:
    made = does(called(UNIVERSAL, "execute(bytes,bytes[],uint256)", *program(*steps), 9))
    assert (made[0].method, made[0].opaque) == ("execute(bytes,bytes[],uint256)", False)
    return [(one.action, one.counterparty, one.amount, one.opaque) for one in made[1:]]


SWAP_IN = (0x08, "address,uint256,uint256,address[],bool", (ANY, 5, 4, (TOKEN, WETH), True))


def test_a_swap_by_the_universal_router_is_a_call_and_its_permit_an_approval() -> None:
    permit = (0x0A, f"({PERMIT_ALL},address,uint256),bytes", (((TOKEN, 5, 1, 2), UNIVERSAL, 9), b"sig"))
    assert runs(permit, SWAP_IN) == [
        (Action.APPROVE, UNIVERSAL, 5, False),
        (Action.CALL, UNIVERSAL, 0, False),
    ]
    to_a_stranger = (*SWAP_IN[:2], (STRANGE, *SWAP_IN[2][1:]))
    assert runs(to_a_stranger) == [(Action.CALL, STRANGE, 0, False)]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ((0x02, "address,address,uint160", (TOKEN, STRANGE, 5)), (Action.TRANSFER, STRANGE, 5, False)),
        ((0x02, "address,address,uint160", (TOKEN, SELF, 5)), (Action.TRANSFER, UNIVERSAL, 5, False)),
        ((0x82, "address,address,uint160", (TOKEN, STRANGE, 5)), (Action.TRANSFER, STRANGE, 5, False)),
        ((0x05, "address,address,uint256", (TOKEN, STRANGE, 5)), (Action.TRANSFER, STRANGE, 5, False)),
        ((0x05, "address,address,uint256", (NONE, STRANGE, 5)), (Action.TRANSFER, STRANGE, 5, False)),
        ((0x05, "address,address,uint256", (TOKEN, ANY, 5)), (Action.CALL, UNIVERSAL, 0, False)),
        ((0x04, "address,address,uint256", (TOKEN, STRANGE, 5)), (Action.TRANSFER, STRANGE, 5, True)),
        ((0x06, "address,address,uint256", (TOKEN, STRANGE, 25)), (Action.TRANSFER, STRANGE, 0, True)),
        ((0x04, "address,address,uint256", (TOKEN, ANY, 5)), (Action.CALL, UNIVERSAL, 0, False)),
        ((0x0D, "(address,address,uint160,address)[]", (((KNOWN, STRANGE, 5, TOKEN),),)),
         (Action.TRANSFER, STRANGE, 5, False)),
        ((0x03, f"({PERMIT_ALL}[],address,uint256),bytes", ((((TOKEN, 5, 1, 2),), STRANGE, 9), b"")),
         (Action.APPROVE, STRANGE, 5, False)),
        ((0x0B, "address,uint256", (SELF, 5)), (Action.CALL, UNIVERSAL, 0, False)),
        ((0x10, "address", (STRANGE,)), (Action.CALL, UNIVERSAL, 0, True)),  # a command that is not known
        ((0x45, "address,address,uint256", (TOKEN, ANY, 5)), (Action.CALL, UNIVERSAL, 0, True)),
        ((0x05, "address,address", (TOKEN, ANY)), (Action.CALL, UNIVERSAL, 0, True)),
    ],
)  # fmt: skip
def test_a_command_of_the_universal_router_does_what_it_says(
    step: tuple[int, str, tuple[object, ...]], expected: tuple[object, ...]
) -> None:
    assert runs(step) == [expected]


def test_a_program_inside_a_program_is_read_and_its_depth_is_limited() -> None:
    inner = program((0x05, "address,address,uint256", (TOKEN, STRANGE, 5)))
    for depth in range(2, 5):
        made = does(called(UNIVERSAL, "execute(bytes,bytes[])", *program((0x21, "bytes,bytes[]", inner))))
        assert (made[-1].action, made[-1].counterparty, made[-1].depth) == (Action.TRANSFER, STRANGE, depth)
        inner = program((0x21, "bytes,bytes[]", inner))
    assert (
        why(called(UNIVERSAL, "execute(bytes,bytes[])", *program((0x21, "bytes,bytes[]", inner)))) is Reason.TOO_LARGE
    )


def test_a_program_with_more_or_fewer_inputs_than_commands_or_with_trailing_bytes_is_refused() -> None:
    commands, inputs = program(SWAP_IN)
    execute = "execute(bytes,bytes[])"
    assert why(called(UNIVERSAL, execute, commands * 2, inputs)) is Reason.MALFORMED
    assert why(called(UNIVERSAL, execute, commands, (inputs[0] + b"\0",))) is Reason.TRAILING_BYTES


def test_a_program_that_moves_what_is_no_registered_token_is_refused() -> None:
    for step in (
        (0x05, "address,address,uint256", (STRANGE, KNOWN, 5)),
        (0x02, "address,address,uint160", (PERMIT2, KNOWN, 5)),
    ):
        assert why(called(UNIVERSAL, "execute(bytes,bytes[])", *program(step))) is Reason.ACTION_MISMATCH


def test_a_router_that_nobody_registered_is_opaque_and_still_read() -> None:
    made = does(
        called(STRANGE, "execute(bytes,bytes[])", *program((0x02, "address,address,uint160", (TOKEN, KNOWN, 5))))
    )
    assert [(one.action, one.opaque) for one in made] == [(Action.CALL, True), (Action.TRANSFER, False)]
