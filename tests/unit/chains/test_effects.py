"""What orders do: allowances in every disguise, calls inside calls, the shape of the Bybit theft, and the limits."""

from __future__ import annotations

from dataclasses import replace

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains.abi import method
from oms_core.chains.address import to_checksum
from oms_core.chains.effects import MAX_CALLS, operations
from oms_core.chains.intent import Allow, Bounds, Call, Deploy, Intent, Message, Transfer
from oms_core.chains.operations import Argument, Operation
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from oms_core.policy.rules import Action
from oms_core.workspace import ContractEntry
from tests.unit.chains.world import (
    ART,
    CHAIN,
    COIN,
    GAMES,
    ITEMS,
    KNOWN,
    MULTICALL,
    MULTISEND,
    NFT,
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
    signatures,
    workspace,
)

MAX = (1 << 256) - 1
AGGREGATE = "aggregate3((address,bool,bytes)[])"
RUN = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
SEND = method("transfer(address,uint256)").encode(KNOWN, 7)


def does(intent: Intent, *more: ContractEntry) -> tuple[Operation, ...]:
    known = workspace()
    return operations(intent, replace(known, contracts=(*known.contracts, *more)) if more else known)


def why(intent: Intent, *more: ContractEntry) -> Reason:
    with pytest.raises(CountersealError) as caught:
        does(intent, *more)
    return caught.value.reason


def run(to: bytes, data: bytes, operation: int = 0, value: int = 0, gas_price: int = 0) -> bytes:
    return method(RUN).encode(to, value, data, operation, 0, 0, gas_price, bytes(20), bytes(20), b"")


def test_a_transfer_of_the_coin_and_of_a_token_are_transfers() -> None:
    coin, token = does(order(Transfer(COIN, KNOWN, 5))), does(order(Transfer(USDC, KNOWN, 5)))
    assert coin == (
        Operation(Action.TRANSFER, CHAIN, KNOWN, KNOWN, COIN, 5, False, 5, "", (), 0, False, False),
    )  # fmt: skip
    arguments = (Argument("0", "address", to_checksum(KNOWN)), Argument("1", "uint256", 5))
    assert token == (
        Operation(
            Action.TRANSFER, CHAIN, TOKEN, KNOWN, USDC, 5, False, 0, "transfer(address,uint256)", arguments, 0, False,
            False,
        ),
    )  # fmt: skip


def test_what_an_order_is_called_makes_no_difference() -> None:
    assert does(order(Call(TOKEN, 0, SEND))) == does(order(Transfer(USDC, KNOWN, 7)))
    approve = method("approve(address,uint256)").encode(ROUTER, 9)
    assert does(order(Call(TOKEN, 0, approve))) == does(order(Allow(USDC, ROUTER, 9)))


@pytest.mark.parametrize("target", [STRANGE, KNOWN, ROUTER, SAFE])
def test_the_shape_of_a_transfer_to_what_is_no_registered_token_is_refused_wherever_else_it_is_listed(
    target: bytes,
) -> None:
    assert why(order(Call(target, 0, SEND))) is Reason.ACTION_MISMATCH
    for signature in ("approve(address,uint256)", "increaseAllowance(address,uint256)"):
        assert why(called(target, signature, KNOWN, 0)) is Reason.ACTION_MISMATCH


def test_the_shape_of_a_transfer_is_refused_even_if_the_registry_lists_it_as_a_contracts_method() -> None:
    trojan = contract("trojan", STRANGE, ("transfer(address,uint256)",))
    assert why(order(Call(STRANGE, 0, SEND)), trojan) is Reason.ACTION_MISMATCH


def test_the_bybit_theft_is_refused_in_every_wrapping() -> None:
    """A Safe was told to run a stranger's code as its own; the call looked like a transfer of nothing."""
    nothing = method("transfer(address,uint256)").encode(STRANGE, 0)
    theft = run(STRANGE, nothing, operation=1)
    assert why(order(Call(SAFE, 0, theft))) is Reason.ACTION_MISMATCH
    assert why(called(MULTICALL, AGGREGATE, ((SAFE, False, theft),))) is Reason.ACTION_MISMATCH
    upgrade = run(STRANGE, method("sweepERC20(address,address)").encode(TOKEN, STRANGE), operation=1)
    assert [one.delegate for one in does(order(Call(SAFE, 0, upgrade)))] == [False, True]


def test_a_token_that_is_not_registered_moves_nowhere() -> None:
    other = f"{CHAIN}/erc20:{to_checksum(STRANGE)}"
    assert why(order(Transfer(other, KNOWN, 1))) is Reason.ACTION_MISMATCH
    assert why(order(Allow(other, ROUTER, 1))) is Reason.ACTION_MISMATCH


def test_coins_that_go_along_with_a_movement_of_tokens_are_refused() -> None:
    assert why(order(Call(TOKEN, 1, SEND))) is Reason.ACTION_MISMATCH


R, S, V = bytes(32), bytes(32), 27
ALLOWANCES = [
    ("approve(address,uint256)", (STRANGE, MAX), MAX, True),
    ("approve(address,uint256)", (STRANGE, 1 << 255), 1 << 255, True),
    ("approve(address,uint256)", (STRANGE, (1 << 160) - 1), (1 << 160) - 1, True),
    ("approve(address,uint256)", (STRANGE, (1 << 96) - 1), (1 << 96) - 1, True),
    ("approve(address,uint256)", (STRANGE, 5), 5, False),
    ("approve(address,uint256)", (STRANGE, 0), 0, False),
    ("increaseAllowance(address,uint256)", (STRANGE, MAX), MAX, True),
    ("increaseAllowance(address,uint256)", (STRANGE, 5), 5, False),
    ("increaseApproval(address,uint256)", (STRANGE, 5), 5, False),
    ("decreaseAllowance(address,uint256)", (STRANGE, MAX), 0, False),
    ("setApprovalForAll(address,bool)", (STRANGE, True), MAX, True),
    ("setApprovalForAll(address,bool)", (STRANGE, False), 0, False),
    ("authorizeOperator(address)", (STRANGE,), MAX, True),
    ("approveAndCall(address,uint256)", (STRANGE, 5), 5, False),
    ("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", (KNOWN, STRANGE, MAX, 1, V, R, S), MAX, True),
    ("permit(address,address,uint256,uint256,bytes)", (KNOWN, STRANGE, 5, 1, b"sig"), 5, False),
    (
        "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
        (KNOWN, STRANGE, 0, 1, True, V, R, S),
        MAX,
        True,
    ),
]


@pytest.mark.parametrize(("signature", "values", "amount", "unlimited"), ALLOWANCES)
def test_every_way_to_give_an_allowance_is_an_approval_with_its_bound(
    signature: str, values: tuple[object, ...], amount: int, unlimited: bool
) -> None:
    (made,) = does(called(TOKEN, signature, *values))
    assert (made.action, made.counterparty, made.asset) == (Action.APPROVE, STRANGE, USDC)
    assert (made.amount, made.unlimited, made.method, made.opaque) == (amount, unlimited, signature, False)


DETAIL = (TOKEN, 5, 1, 2)
PERMIT2_ALLOWANCES = [
    ("approve(address,address,uint160,uint48)", (TOKEN, STRANGE, (1 << 160) - 1, 0), [(MAX >> 96, True)]),
    ("approve(address,address,uint160,uint48)", (TOKEN, STRANGE, 5, 0), [(5, False)]),
    (
        "permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)",
        (KNOWN, (DETAIL, STRANGE, 1), b""),
        [(5, False)],
    ),
    (
        "permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)",
        (KNOWN, ((DETAIL, (TOKEN, (1 << 160) - 1, 1, 2)), STRANGE, 1), b""),
        [(5, False), (MAX >> 96, True)],
    ),
    ("lockdown((address,address)[])", (((TOKEN, STRANGE),),), [(0, False)]),
]


@pytest.mark.parametrize(("signature", "values", "bounds"), PERMIT2_ALLOWANCES)
def test_every_allowance_by_permit2_is_an_approval_of_its_token(
    signature: str, values: tuple[object, ...], bounds: list[tuple[int, bool]]
) -> None:
    made = does(called(PERMIT2, signature, *values))
    assert [(one.amount, one.unlimited) for one in made] == bounds
    assert all((one.action, one.counterparty, one.asset) == (Action.APPROVE, STRANGE, USDC) for one in made)


def test_transfers_by_permit2_count_what_was_permitted_if_that_is_more() -> None:
    (plain,) = does(called(PERMIT2, "transferFrom(address,address,uint160,address)", KNOWN, STRANGE, 5, TOKEN))
    signed = "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)"
    (permitted,) = does(called(PERMIT2, signed, ((TOKEN, 9), 1, 2), (STRANGE, 5), KNOWN, b""))
    assert [(one.action, one.counterparty, one.amount) for one in (plain, permitted)] == [
        (Action.TRANSFER, STRANGE, 5),
        (Action.TRANSFER, STRANGE, 9),
    ]


def test_a_batch_of_nothing_is_still_an_operation() -> None:
    (made,) = does(called(PERMIT2, "transferFrom((address,address,uint160,address)[])", ()))
    assert (made.action, made.target, made.opaque) == (Action.CALL, PERMIT2, False)


def test_permit2_counts_only_where_it_is_registered_and_for_registered_tokens() -> None:
    approve = "approve(address,address,uint160,uint48)"
    assert why(called(STRANGE, approve, TOKEN, KNOWN, 5, 0)) is Reason.ACTION_MISMATCH
    assert why(called(PERMIT2, approve, STRANGE, KNOWN, 5, 0)) is Reason.ACTION_MISMATCH


def test_things_count_one_by_one_and_are_not_taken_for_amounts() -> None:
    send, approve = "transferFrom(address,address,uint256)", "approve(address,uint256)"
    assert [one.amount for one in does(called(NFT, send, KNOWN, STRANGE, MAX))] == [1]
    assert [one.amount for one in does(called(NFT, "transfer(address,uint256)", STRANGE, 0))] == [1]
    (given,) = does(called(NFT, approve, STRANGE, MAX))
    assert (given.asset, given.amount, given.unlimited) == (ART, 1, False)
    assert [one.amount for one in does(called(NFT, approve, bytes(20), 7))] == [0]
    batch = "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)"
    items = does(called(ITEMS, batch, KNOWN, STRANGE, (1, 2), (10, 20), b""))
    assert [(one.asset, one.amount) for one in items] == [(GAMES, 10), (GAMES, 20)]


def test_data_for_a_recipients_hook_makes_a_transfer_opaque() -> None:
    hooked = "transferAndCall(address,uint256,bytes)"
    assert [one.opaque for one in does(called(TOKEN, hooked, STRANGE, 5, b""))] == [False]
    assert [one.opaque for one in does(called(TOKEN, hooked, STRANGE, 5, b"x"))] == [True]


def test_a_registered_method_is_decoded_and_any_other_is_opaque() -> None:
    (swap,) = does(called(ROUTER, SWAP, 100, 99, (TOKEN, WETH), KNOWN, 9))
    assert (swap.action, swap.target, swap.method, swap.opaque) == (Action.CALL, ROUTER, SWAP, False)
    assert [(one.place, one.value) for one in swap.arguments] == [
        ("0", 100),
        ("1", 99),
        ("2.length", 2),
        ("2[0]", to_checksum(TOKEN)),
        ("2[1]", to_checksum(WETH)),
        ("3", to_checksum(KNOWN)),
        ("4", 9),
    ]
    (other,) = does(called(ROUTER, "setOwner(address)", STRANGE))
    assert (other.method, other.opaque) == ("", True)
    assert other.arguments[0] == Argument("selector", "bytes4", "0x13af4035")


def test_a_method_of_a_contract_that_nobody_registered_is_opaque_whatever_its_selector_suggests() -> None:
    for data in (method(SWAP).encode(1, 2, (TOKEN,), KNOWN, 9), method("deposit()").encode(), b"\x01\x02\x03\x04"):
        (made,) = does(order(Call(STRANGE, 0, data)))
        assert (made.action, made.method, made.opaque) == (Action.CALL, "", True)


def test_the_coin_goes_along_with_wrapping_it_and_not_with_unwrapping() -> None:
    assert [(one.method, one.value) for one in does(called(WETH, "deposit()", value=7))] == [("deposit()", 7)]
    assert [(one.method, one.value) for one in does(called(WETH, "withdraw(uint256)", 7))] == [("withdraw(uint256)", 0)]


@pytest.mark.parametrize("signature", signatures("UniswapV2Router02"))
def test_every_method_of_the_published_router_reads_its_own_canonical_calls(signature: str) -> None:
    kinds = method(signature).inputs
    plain = {"uint256": 5, "uint8": 1, "bool": True, "address": KNOWN, "bytes32": bytes(32)}
    values = [(TOKEN, WETH) if kind.text == "address[]" else plain[kind.text] for kind in kinds]
    (made,) = does(called(ROUTER, signature, *values))
    assert (made.method, made.opaque) == (signature, False)


def test_a_swap_as_other_tools_encode_it_is_read() -> None:
    kinds = ["uint256", "uint256", "address[]", "address", "uint256"]
    path, to = [to_checksum(TOKEN), to_checksum(WETH)], to_checksum(KNOWN)
    data = bytes.fromhex("38ed1739") + eth_abi.encode(kinds, [10**6, 5, path, to, 1_800_000_000])
    (made,) = does(order(Call(ROUTER, 0, data)))
    assert (made.method, [one.value for one in made.arguments]) == (SWAP, [10**6, 5, 2, *path, to, 1_800_000_000])


def test_bytes_after_the_arguments_of_a_known_method_are_refused_at_any_depth() -> None:
    swap = method(SWAP).encode(1, 2, (TOKEN,), KNOWN, 9) + b"\x01"
    assert why(order(Call(ROUTER, 0, swap))) is Reason.TRAILING_BYTES
    assert why(order(Call(TOKEN, 0, SEND + bytes(32)))) is Reason.TRAILING_BYTES
    assert why(called(MULTICALL, AGGREGATE, ((TOKEN, False, SEND + b"\0"),))) is Reason.TRAILING_BYTES
    assert why(called(ROUTER, "multicall(bytes[])", (swap,))) is Reason.TRAILING_BYTES


def test_a_tokens_call_that_is_not_canonical_is_refused_and_a_contracts_is_opaque() -> None:
    dirty = SEND[:4] + b"\x01" + SEND[5:]
    assert why(order(Call(TOKEN, 0, dirty))) is Reason.MALFORMED
    swap = bytearray(method(SWAP).encode(1, 2, (TOKEN,), KNOWN, 9))
    swap[4 + 64 + 31] += 32  # the path's offset
    (made,) = does(order(Call(ROUTER, 0, bytes(swap))))
    assert (made.method, made.opaque) == ("", True)


def test_a_selector_that_two_methods_share_decides_for_the_strict_reading() -> None:
    assert method("many_msg_babbage(bytes1)").selector == SEND[:4]
    innocent = contract("innocent", STRANGE, ("many_msg_babbage(bytes1)",))
    assert why(called(STRANGE, "many_msg_babbage(bytes1)", b"x"), innocent) is Reason.ACTION_MISMATCH
    both = ("burn(uint256)", "collate_propagate_storage(bytes16)")
    assert method(both[0]).selector == method(both[1]).selector
    (made,) = does(called(STRANGE, both[0], 1), contract("both", STRANGE, both))
    assert made.opaque
    (alone,) = does(called(STRANGE, both[0], 1), contract("one", STRANGE, both[:1]))
    assert (alone.method, alone.opaque) == (both[0], False)
    (other,) = does(called(STRANGE, both[0], 1), contract("other", STRANGE, both[1:]))
    assert other.opaque  # it is called by what its entry lists, and does not read as that


def test_an_order_with_less_than_a_selector_or_to_nobody_is_malformed() -> None:
    assert why(order(Call(STRANGE, 0, b"abc"))) is Reason.MALFORMED
    assert why(order(Call(bytes(20), 0, b"abcd"))) is Reason.BAD_ADDRESS
    assert why(order(Transfer(COIN, KNOWN, -1))) is Reason.NEGATIVE_AMOUNT
    assert why(order(Transfer("eip155:1/slip44:60", KNOWN, 1))) is Reason.CHAIN_MISMATCH


def test_a_deployment_is_named_by_the_hash_of_its_code() -> None:
    (made,) = does(order(Deploy(5, b"code")))
    assert (made.action, made.target, made.value, made.opaque) == (Action.DEPLOY, b"", 5, False)
    assert [one.place for one in made.arguments] == ["keccak256"]


def test_a_text_is_a_message_with_the_text_as_its_argument() -> None:
    (made,) = does(order(Message("I own this"), bounds=Bounds(0, 0)))
    assert (made.action, made.arguments) == (Action.MESSAGE, (Argument("0", "string", "I own this"),))


def test_more_calls_than_the_limit_are_refused() -> None:
    assert len(does(called(MULTICALL, AGGREGATE, ((TOKEN, False, SEND),) * MAX_CALLS))) == MAX_CALLS + 1
    assert why(called(MULTICALL, AGGREGATE, ((TOKEN, False, SEND),) * (MAX_CALLS + 1))) is Reason.TOO_LARGE
    many = "permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)"
    assert why(called(PERMIT2, many, KNOWN, ((DETAIL,) * (MAX_CALLS + 2), STRANGE, 1), b"")) is Reason.TOO_LARGE


def nested(depth: int) -> bytes:
    data = SEND
    for level in range(depth):
        data = method(AGGREGATE).encode((((TOKEN if level == 0 else MULTICALL), False, data),))
    return data


def test_deeper_nesting_than_the_limit_is_refused() -> None:
    made = does(order(Call(MULTICALL, 0, nested(4))))
    assert [(one.depth, one.action) for one in made] == [
        *((depth, Action.CALL) for depth in range(4)),
        (4, Action.TRANSFER),
    ]
    assert why(order(Call(MULTICALL, 0, nested(5)))) is Reason.TOO_LARGE


COMMANDS = method("f(address,address,uint256)").encode(TOKEN, STRANGE, 5)[4:]
PACKED = b"\0" + TOKEN + bytes(32) + len(SEND).to_bytes(32, "big") + SEND
NESTED = [
    Call(UNIVERSAL, 0, method("execute(bytes,bytes[])").encode(b"\x05\x10", (COMMANDS, b"what"))),
    Call(SAFE, 0, run(MULTISEND, method("multiSend(bytes)").encode(PACKED), 1)),
    Call(TOKEN, 0, SEND),
    Call(ROUTER, 3, method(SWAP).encode(1, 2, (TOKEN, WETH), KNOWN, 9)),
    Call(MULTICALL, 0, nested(3)),
    Call(SAFE, 0, run(TOKEN, SEND)),
    Call(PERMIT2, 0, method(PERMIT2_ALLOWANCES[3][0]).encode(*PERMIT2_ALLOWANCES[3][1])),  # type: ignore[arg-type]
    Call(STRANGE, 0, b"\x01\x02\x03\x04 whatever"),
    Call(ROUTER, 0, method("multicall(bytes[])").encode((method(SWAP).encode(1, 2, (), KNOWN, 9), b"1234"))),
]


@given(st.sampled_from(NESTED), st.data())
def test_a_changed_byte_of_a_call_changes_its_operations_or_is_refused(call: Call, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(call.data) - 1))
    bent = bytearray(call.data)
    bent[at] ^= data.draw(st.integers(1, 255))
    try:
        made = does(order(Call(call.to, call.value, bytes(bent))))
    except (Malformed, Refused):
        return
    assert made != does(order(call))


@given(st.binary(min_size=4, max_size=400), st.sampled_from([TOKEN, ROUTER, MULTICALL, SAFE, PERMIT2, STRANGE]))
def test_no_bytes_make_reading_fail_in_any_other_way_than_a_typed_error(data: bytes, to: bytes) -> None:
    for selector in (b"", SEND[:4], method(AGGREGATE).selector, method(RUN).selector, method(SWAP).selector):
        try:
            assert does(order(Call(to, 0, selector + data)))
        except (Malformed, Refused):
            continue
