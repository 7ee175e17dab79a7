"""Derivation: one intent and one execution mean one transaction, or nothing; and what is read back is read strictly."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains import rlp
from oms_core.chains.evm import (
    TRANSFER_GAS,
    UnsignedTransaction,
    assemble,
    chain_id,
    conforms,
    decode_signed,
    derive,
    native_asset,
    sender,
    signing_digest,
    to_checksum,
)
from oms_core.chains.intent import Bounds, Execution, Transfer
from oms_core.crypto.ecdsa import Signature
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from tests.people import CHAIN, COIN, EXECUTION, KNOWN, intent

KEY = bytes(31) + b"\x07"


def why(call: object, *args: object) -> Reason:
    with pytest.raises(CountersealError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.reason


def test_a_derived_transaction_says_what_the_intent_and_the_execution_say() -> None:
    assert derive(intent(50), EXECUTION) == UnsignedTransaction(
        chain_id=31337,
        nonce=EXECUTION.nonce,
        max_priority_fee_per_gas=EXECUTION.max_priority_fee_per_gas,
        max_fee_per_gas=EXECUTION.max_fee_per_gas,
        gas_limit=EXECUTION.gas_limit,
        to=KNOWN,
        value=50,
        data=b"",
    )


CHANGES = [
    (intent(51), EXECUTION),
    (intent(to=bytes.fromhex("44" * 20)), EXECUTION),
    (intent(chain="eip155:1", action=Transfer("eip155:1/slip44:60", KNOWN, 50)), EXECUTION),
    *((intent(50), replace(EXECUTION, **{f.name: getattr(EXECUTION, f.name) + 1})) for f in fields(EXECUTION)),
]


@pytest.mark.parametrize(("changed", "execution"), CHANGES)
def test_every_field_that_reaches_the_chain_changes_the_signing_digest(changed: object, execution: Execution) -> None:
    plain = signing_digest(derive(intent(50), EXECUTION))
    assert signing_digest(derive(changed, execution)) != plain  # type: ignore[arg-type]


@given(st.integers(1, (1 << 256) - 1), st.binary(min_size=20, max_size=20), st.integers(0, (1 << 64) - 1))
def test_a_derived_transaction_is_the_one_that_eth_account_would_sign(amount: int, to: bytes, nonce: int) -> None:
    tx = derive(intent(action=Transfer(COIN, to, amount)), replace(EXECUTION, nonce=nonce))
    theirs = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "maxPriorityFeePerGas": EXECUTION.max_priority_fee_per_gas,
        "maxFeePerGas": EXECUTION.max_fee_per_gas,
        "gas": EXECUTION.gas_limit,
        "to": to_checksum(to),
        "value": amount,
        "data": "0x",
        "accessList": [],
    }
    assert signing_digest(tx) == bytes(TypedTransaction.from_dict(theirs).hash())


@pytest.mark.parametrize(
    "chain", ["eip155:0", "eip155:01", "eip155:-1", "eip155:", "eip155:1 ", "eip155:１", "bip122:0"]
)
def test_a_chain_that_is_no_evm_chain_is_refused(chain: str) -> None:
    assert why(chain_id, chain) is Reason.UNSUPPORTED_TYPE
    assert why(native_asset, chain) is Reason.UNSUPPORTED_TYPE
    assert why(derive, intent(chain=chain), EXECUTION) is Reason.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    "asset", ["eip155:1/slip44:60", f"{CHAIN}/slip44:0", f"{CHAIN}/erc20:0x{'11' * 20}", "", "ETH"]
)
def test_an_asset_that_is_not_the_chains_own_coin_is_refused(asset: str) -> None:
    assert why(derive, intent(action=Transfer(asset, KNOWN, 1)), EXECUTION) is Reason.CHAIN_MISMATCH


@pytest.mark.parametrize("action", [Transfer(COIN, KNOWN, n) for n in (0, -1, 1 << 256)] + [Transfer(COIN, b"\x11", 1)])
def test_a_transfer_of_nothing_or_to_nobody_is_not_derived(action: Transfer) -> None:
    assert why(derive, intent(action=action), EXECUTION) is Reason.MALFORMED


def test_a_fee_at_the_bound_passes_and_one_wei_above_does_not() -> None:
    fee = EXECUTION.gas_limit * EXECUTION.max_fee_per_gas
    conforms(intent(bounds=Bounds(fee, 100_000)), EXECUTION)
    assert why(conforms, intent(bounds=Bounds(fee - 1, 100_000)), EXECUTION) is Reason.FEE_EXCEEDED


def test_the_gas_limit_is_between_a_transfers_gas_and_the_cap() -> None:
    within = Bounds(10**18, 30_000)
    for gas in (TRANSFER_GAS, 30_000):
        conforms(intent(bounds=within), replace(EXECUTION, gas_limit=gas))
    for gas in (TRANSFER_GAS - 1, 30_001):
        with pytest.raises(Refused) as caught:
            conforms(intent(bounds=within), replace(EXECUTION, gas_limit=gas))
        assert caught.value.reason is Reason.FEE_EXCEEDED


def test_a_priority_fee_above_the_whole_fee_is_malformed() -> None:
    with pytest.raises(Malformed):
        conforms(intent(), replace(EXECUTION, max_priority_fee_per_gas=EXECUTION.max_fee_per_gas + 1))


@pytest.mark.parametrize("field", [f.name for f in fields(Execution)])
@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_an_execution_number_out_of_range_is_malformed(field: str, value: int) -> None:
    with pytest.raises(Malformed):
        conforms(intent(), replace(EXECUTION, **{field: value}))


def _raw() -> list[object]:
    tx = derive(intent(50), EXECUTION)
    theirs = TypedTransaction.from_dict(
        {
            "type": 2, "chainId": 31337, "nonce": tx.nonce, "maxPriorityFeePerGas": tx.max_priority_fee_per_gas,
            "maxFeePerGas": tx.max_fee_per_gas, "gas": tx.gas_limit, "to": to_checksum(tx.to), "value": tx.value,
            "data": "0x", "accessList": [],
        }
    )  # fmt: skip
    signed = Account.from_key(KEY).unsafe_sign_hash(theirs.hash())
    raw = assemble(tx, Signature(signed.r, signed.s, signed.v - 27))
    assert to_checksum(sender(raw)) == Account.from_key(KEY).address
    return list(rlp.decode(raw[1:]))


NAMES = ("chain", "nonce", "priority", "fee", "gas", "to", "value", "data", "access list", "parity", "r", "s")


@pytest.mark.parametrize("at", [i for i, name in enumerate(NAMES) if name not in {"to", "data", "access list"}])
def test_an_integer_that_is_not_in_its_shortest_form_is_refused(at: int) -> None:
    items = _raw()
    items[at] = b"\x00" + items[at]  # type: ignore[operator]
    with pytest.raises(Malformed):
        decode_signed(b"\x02" + rlp.encode(items))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (5, b""),  # a contract creation
        (5, bytes(19)),
        (8, [[KNOWN, [bytes(32)]]]),
        (8, b""),
        (7, []),
        (9, b"\x02"),
        (9, b"\x1b"),  # 27, as it was before typed transactions
        (10, b""),
        (11, b""),
        (10, b"\xff" * 32),
        (0, b"\x01" * 9),
    ],
)
def test_a_field_with_a_value_that_it_cannot_have_is_refused(at: int, value: object) -> None:
    items = _raw()
    items[at] = value
    with pytest.raises(Malformed):
        decode_signed(b"\x02" + rlp.encode(items))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [9, 11, 13])
def test_a_transaction_with_too_few_or_too_many_fields_is_refused(count: int) -> None:
    with pytest.raises(Malformed):
        decode_signed(b"\x02" + rlp.encode([*_raw(), b""][:count]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [b"", b"\x00", b"\x01", b"\x03", b"\x04", b"\xf8"])
def test_a_transaction_of_another_type_is_refused(kind: bytes) -> None:
    assert why(decode_signed, kind + rlp.encode(_raw())) is Reason.UNSUPPORTED_TYPE  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail_in_any_other_way_than_malformed(data: bytes) -> None:
    for raw in (data, b"\x02" + data, b"\x02\xf8" + data):
        try:
            decode_signed(raw)
        except Malformed:
            continue


def test_a_recovery_id_that_a_transaction_cannot_carry_is_refused() -> None:
    for v in (2, 3, -1):
        with pytest.raises(Malformed):
            assemble(derive(intent(), EXECUTION), Signature(1, 1, v))


def test_an_address_of_another_length_has_no_checksum_form() -> None:
    for size in (0, 19, 21, 32):
        assert why(to_checksum, bytes(size)) is Reason.BAD_ADDRESS
