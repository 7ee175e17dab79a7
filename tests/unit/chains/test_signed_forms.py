"""Typed data that moves tokens or makes others call: known by the form that is hashed, not by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.abi import method
from oms_core.chains.address import to_checksum
from oms_core.chains.effects import operations
from oms_core.chains.operations import Operation
from oms_core.errors import CountersealError, Reason
from oms_core.policy.rules import Action
from tests.unit.chains.world import KNOWN, NFT, PERMIT2, ROUTER, SAFE, STRANGE, TOKEN, USDC, signs, typed, workspace

ME, THEM, COINS = to_checksum(KNOWN), to_checksum(STRANGE), to_checksum(TOKEN)
MAX, MAX160 = (1 << 256) - 1, (1 << 160) - 1
SEND = "0x" + method("transfer(address,uint256)").encode(STRANGE, 7).hex()


def does(text: str) -> tuple[Operation, ...]:
    return operations(signs(text), workspace())


def why(text: str) -> Reason:
    with pytest.raises(CountersealError) as caught:
        does(text)
    return caught.value.reason


PERMIT = {"Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"}
DAI = {"Permit": "address holder,address spender,uint256 nonce,uint256 expiry,bool allowed"}
THING = {"Permit": "address spender,uint256 tokenId,uint256 nonce,uint256 deadline"}
MOVE = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
DETAILS = {"PermitDetails": "address token,uint160 amount,uint48 expiration,uint48 nonce"}
TOKENS = {"TokenPermissions": "address token,uint256 amount"}
SINGLE = {"PermitSingle": "PermitDetails details,address spender,uint256 sigDeadline", **DETAILS}
BATCH = {"PermitBatch": "PermitDetails[] details,address spender,uint256 sigDeadline", **DETAILS}
TAKE = {"PermitTransferFrom": "TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline", **TOKENS}
MANY = {
    "PermitBatchTransferFrom": "TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline",
    **TOKENS,
}
WITNESS = {
    "PermitWitnessTransferFrom": TAKE["PermitTransferFrom"] + ",Order witness",
    "Order": "address maker,uint256 price",
    **TOKENS,
}


def detail(amount: int, token: str = COINS) -> dict[str, object]:
    return {"token": token, "amount": str(amount), "expiration": 1, "nonce": 2}


def permit(value: int) -> dict[str, object]:
    return {"owner": ME, "spender": THEM, "value": str(value), "nonce": 0, "deadline": 9}


def dai(allowed: bool) -> dict[str, object]:
    return {"holder": ME, "spender": THEM, "nonce": 0, "expiry": 9, "allowed": allowed}


def taken(permitted: object, **more: object) -> dict[str, object]:
    return {"permitted": permitted, "spender": THEM, "nonce": 0, "deadline": 9, **more}


ALLOWANCES = [
    ("Permit", PERMIT, permit(MAX), TOKEN, [(MAX, True)]),
    ("Permit", PERMIT, permit(5), TOKEN, [(5, False)]),
    ("Permit", DAI, dai(True), TOKEN, [(MAX, True)]),
    ("Permit", DAI, dai(False), TOKEN, [(0, False)]),
    ("PermitSingle", SINGLE, {"details": detail(5), "spender": THEM, "sigDeadline": 9}, PERMIT2, [(5, False)]),
    ("PermitSingle", SINGLE, {"details": detail(MAX160), "spender": THEM, "sigDeadline": 9}, PERMIT2, [(MAX160, True)]),
    (
        "PermitBatch",
        BATCH,
        {"details": [detail(5), detail(MAX160)], "spender": THEM, "sigDeadline": 9},
        PERMIT2,
        [(5, False), (MAX160, True)],
    ),
    ("PermitTransferFrom", TAKE, taken({"token": COINS, "amount": 5}), PERMIT2, [(5, False)]),
    ("PermitBatchTransferFrom", MANY, taken([{"token": COINS, "amount": 5}] * 2), PERMIT2, [(5, False)] * 2),
    (
        "PermitWitnessTransferFrom",
        WITNESS,
        taken({"token": COINS, "amount": 5}, witness={"maker": ME, "price": 1}),
        PERMIT2,
        [(5, False)],
    ),
]


@pytest.mark.parametrize(("primary", "types", "message", "contract", "bounds"), ALLOWANCES)
def test_every_signed_allowance_is_an_approval_of_its_token(
    primary: str, types: dict[str, str], message: object, contract: bytes, bounds: list[tuple[int, bool]]
) -> None:
    made = does(typed(primary, types, message, contract))
    assert [(one.amount, one.unlimited) for one in made] == bounds
    for one in made:
        assert (one.action, one.counterparty, one.asset) == (Action.APPROVE, STRANGE, USDC)
        assert (one.method, one.target, one.opaque) == (primary, contract, False)


def test_a_permit_for_a_thing_is_an_approval_of_one() -> None:
    (made,) = does(typed("Permit", THING, {"spender": THEM, "tokenId": str(MAX), "nonce": 0, "deadline": 1}, NFT))
    assert (made.action, made.amount, made.unlimited) == (Action.APPROVE, 1, False)


@pytest.mark.parametrize("primary", ["TransferWithAuthorization", "ReceiveWithAuthorization"])
def test_an_authorization_that_anybody_can_carry_out_is_a_transfer(primary: str) -> None:
    said = {"from": ME, "to": THEM, "value": 5, "validAfter": 0, "validBefore": 9, "nonce": "0x" + "00" * 32}
    (made,) = does(typed(primary, {primary: MOVE}, said))
    assert (made.action, made.counterparty, made.asset, made.amount) == (Action.TRANSFER, STRANGE, USDC, 5)


def test_a_permit_of_what_is_no_registered_token_is_refused() -> None:
    single = {"spender": THEM, "sigDeadline": 9}
    assert why(typed("Permit", PERMIT, permit(5), STRANGE)) is Reason.ACTION_MISMATCH
    assert why(typed("Permit", PERMIT, permit(5), ROUTER)) is Reason.ACTION_MISMATCH
    assert why(typed("PermitSingle", SINGLE, {**single, "details": detail(5)}, STRANGE)) is Reason.ACTION_MISMATCH
    assert why(typed("PermitSingle", SINGLE, {**single, "details": detail(5, THEM)}, PERMIT2)) is Reason.ACTION_MISMATCH


@pytest.mark.parametrize("primary", ["Permit", "PermitAll", "permit", "SafeTx", "TransferWithAuthorisation"])
def test_what_is_called_a_permit_and_has_no_form_of_one_is_refused(primary: str) -> None:
    assert why(typed(primary, {primary: "address spender,uint256 value"}, {"spender": THEM, "value": 1})) is (
        Reason.ACTION_MISMATCH
    )


ORDER = {"Order": "Item[] offer,address zone", "Item": "address token,uint256 amount"}
OFFER = {"offer": [{"token": COINS, "amount": 5}], "zone": THEM}


def test_any_other_typed_data_is_a_typed_message_for_its_contract() -> None:
    (made,) = does(typed("Order", ORDER, OFFER, ROUTER))
    assert (made.action, made.target, made.counterparty) == (Action.TYPED_MESSAGE, ROUTER, ROUTER)
    assert (made.method, made.opaque) == ("Order", True)
    assert [(one.place, one.value) for one in made.arguments] == [
        ("offer.length", 1),
        ("offer[0].token", COINS),
        ("offer[0].amount", 5),
        ("zone", THEM),
    ]


def test_a_typed_message_is_known_if_the_registry_lists_its_form_at_its_contract() -> None:
    listed = "Order((address,uint256)[],address)"
    known = workspace()
    contracts = tuple(
        replace(one, methods=(*one.methods, listed)) if one.address == ROUTER else one for one in known.contracts
    )
    (made,) = operations(signs(typed("Order", ORDER, OFFER, ROUTER)), replace(known, contracts=contracts))
    assert not made.opaque
    (elsewhere,) = operations(signs(typed("Order", ORDER, OFFER, SAFE)), replace(known, contracts=contracts))
    assert elsewhere.opaque


SAFE_TX = {
    "SafeTx": (
        "address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
        "address gasToken,address refundReceiver,uint256 nonce"
    )
}


def safe_tx(to: str, data: str, operation: int = 0, gas_price: int = 0) -> str:
    nobody = "0x" + "00" * 20
    said = {
        "to": to, "value": 0, "data": data, "operation": operation, "safeTxGas": 0, "baseGas": 0, "gasPrice": gas_price,
        "gasToken": nobody, "refundReceiver": nobody, "nonce": 1,
    }  # fmt: skip
    return typed("SafeTx", SAFE_TX, said, SAFE)


def test_a_safes_transaction_is_read_as_the_call_that_it_makes() -> None:
    message, transfer = does(safe_tx(COINS, SEND))
    assert (message.action, message.target, message.opaque) == (Action.TYPED_MESSAGE, SAFE, True)
    assert (transfer.action, transfer.depth, transfer.amount, transfer.delegate) == (Action.TRANSFER, 1, 7, False)


def test_the_signature_that_was_asked_of_bybits_signers_is_refused() -> None:
    """Its data had the shape of a transfer; it ran a stranger's code in the Safe's name."""
    assert why(safe_tx(THEM, SEND, operation=1)) is Reason.ACTION_MISMATCH
    _, inner = does(safe_tx(THEM, "0x01020304", operation=1))
    assert (inner.delegate, inner.opaque) == (True, True)


def test_a_safes_transaction_that_pays_a_stranger_for_gas_or_is_of_an_unknown_kind_is_refused() -> None:
    assert why(safe_tx(COINS, SEND, gas_price=1)) is Reason.ACTION_MISMATCH
    assert why(safe_tx(COINS, SEND, operation=2)) is Reason.ACTION_MISMATCH


def test_a_request_to_forward_a_call_is_read_as_that_call() -> None:
    form = {"ForwardRequest": "address from,address to,uint256 value,uint256 gas,uint256 nonce,bytes data"}
    said = {"from": ME, "to": COINS, "value": 0, "gas": 1, "nonce": 1, "data": SEND}
    _, transfer = does(typed("ForwardRequest", form, said, ROUTER))
    assert (transfer.action, transfer.counterparty, transfer.amount) == (Action.TRANSFER, STRANGE, 7)
    form = {"MetaTransaction": "uint256 nonce,address from,bytes functionSignature"}
    _, transfer = does(typed("MetaTransaction", form, {"nonce": 1, "from": ME, "functionSignature": SEND}))
    assert (transfer.action, transfer.counterparty, transfer.amount) == (Action.TRANSFER, STRANGE, 7)
