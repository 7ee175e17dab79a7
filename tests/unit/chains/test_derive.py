"""Derivation: one intent and one execution mean one transaction, or nothing; and what is read back is read strictly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
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
    is_message,
    message_digest,
    message_signature,
    native_asset,
    read_unsigned,
    sender,
    signing_digest,
    to_checksum,
    what_is_signed,
)
from oms_core.chains.intent import Access, Allow, Bounds, Call, Deploy, Execution, Message, Transfer
from oms_core.crypto.ecdsa import Signature
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from tests.people import CHAIN, COIN, EXECUTION, KNOWN, intent

KEY = bytes(31) + b"\x07"
NUMBERS = ("nonce", "gas_limit", "max_fee_per_gas", "max_priority_fee_per_gas")


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
    *((intent(50), replace(EXECUTION, **{name: getattr(EXECUTION, name) + 1})) for name in NUMBERS),
    *((intent(50), replace(EXECUTION, type=kind, max_priority_fee_per_gas=10**9)) for kind in (0, 1)),
    (intent(50), replace(EXECUTION, gas_limit=30_000, access_list=(Access(KNOWN, ()),))),
]


@pytest.mark.parametrize(("changed", "execution"), CHANGES)
def test_every_field_that_reaches_the_chain_changes_the_signing_digest(changed: object, execution: Execution) -> None:
    plain = signing_digest(derive(intent(50), EXECUTION))
    assert signing_digest(derive(changed, execution)) != plain  # type: ignore[arg-type]


@given(st.integers(1, (1 << 256) - 1), st.binary(min_size=20, max_size=20).filter(any), st.integers(0, (1 << 64) - 1))
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
    ("asset", "reason"),
    [
        ("eip155:1/slip44:60", Reason.CHAIN_MISMATCH),
        (f"eip155:1/erc20:0x{'11' * 20}", Reason.CHAIN_MISMATCH),
        (f"{CHAIN}/slip44:0", Reason.UNSUPPORTED_TYPE),
        (f"{CHAIN}/erc721:0x{'11' * 20}", Reason.UNSUPPORTED_TYPE),
        (f"{CHAIN}/erc20:0x{'11' * 19}", Reason.BAD_ADDRESS),
        (f"{CHAIN}/erc20:0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Reason.BAD_CHECKSUM),
        ("", Reason.UNSUPPORTED_TYPE),
        ("ETH", Reason.UNSUPPORTED_TYPE),
    ],
)
def test_an_asset_that_is_neither_the_chains_coin_nor_a_token_on_it_is_refused(asset: str, reason: Reason) -> None:
    assert why(derive, intent(action=Transfer(asset, KNOWN, 1)), EXECUTION) is reason


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Transfer(COIN, KNOWN, 0), Reason.MALFORMED),
        (Transfer(COIN, KNOWN, 1 << 256), Reason.MALFORMED),
        (Transfer(COIN, KNOWN, -1), Reason.NEGATIVE_AMOUNT),
        (Transfer(COIN, b"\x11", 1), Reason.BAD_ADDRESS),
        (Transfer(COIN, bytes(20), 1), Reason.BAD_ADDRESS),
    ],
)
def test_a_transfer_of_nothing_or_to_nobody_is_not_derived(action: Transfer, reason: Reason) -> None:
    assert why(derive, intent(action=action), EXECUTION) is reason


GAS = replace(EXECUTION, gas_limit=90_000)


def test_orders_about_tokens_are_calls_of_the_token() -> None:
    token = f"{CHAIN}/erc20:0x{'44' * 20}"
    words = bytes(12) + KNOWN + (7).to_bytes(32, "big")
    for action, selector in ((Transfer(token, KNOWN, 7), "a9059cbb"), (Allow(token, KNOWN, 7), "095ea7b3")):
        tx = derive(intent(action=action), GAS)
        assert (tx.to, tx.value, tx.data) == (b"\x44" * 20, 0, bytes.fromhex(selector) + words)


def test_calls_and_deployments_are_derived_as_they_stand() -> None:
    call, deploy = (derive(intent(action=action), GAS) for action in (Call(KNOWN, 5, b"abcd"), Deploy(5, b"code")))
    assert (call.to, call.value, call.data) == (KNOWN, 5, b"abcd")
    assert (deploy.to, deploy.value, deploy.data) == (b"", 5, b"code")


def test_what_is_signed_of_a_message_is_no_transaction_and_takes_no_execution() -> None:
    text = intent(action=Message("I own this"), bounds=Bounds(0, 0))
    transaction, digest = what_is_signed(text, None)
    assert (transaction, digest) == (None, message_digest(text))
    assert is_message(text)
    assert why(what_is_signed, text, EXECUTION) is Reason.INTENT_TX_MISMATCH
    assert why(what_is_signed, intent(), None) is Reason.INTENT_TX_MISMATCH
    assert why(message_digest, intent()) is Reason.MALFORMED
    assert why(derive, text, replace(EXECUTION, gas_limit=0)) is Reason.UNSUPPORTED_TYPE
    assert what_is_signed(intent(), EXECUTION) == (
        derive(intent(), EXECUTION),
        signing_digest(derive(intent(), EXECUTION)),
    )


def test_a_messages_signature_is_what_wallets_verify() -> None:
    text = intent(action=Message("I own this"), bounds=Bounds(0, 0))
    signed = Account.from_key(KEY).unsafe_sign_hash(message_digest(text))
    raw = message_signature(Signature(signed.r, signed.s, signed.v - 27))
    message = encode_defunct(text="I own this")
    assert Account.recover_message(message, signature=raw) == Account.from_key(KEY).address
    with pytest.raises(Malformed):
        message_signature(Signature(1, 1, 2))


def test_a_whole_transaction_conforms_if_it_is_the_intents_and_in_no_other_way() -> None:
    tx = derive(intent(50), EXECUTION)
    conforms(intent(50), tx)
    for changes in ({"value": 51}, {"to": b"\x44" * 20}, {"data": b"x"}, {"chain_id": 1}, {"to": b""}):
        assert why(conforms, intent(50), replace(tx, **changes)) is Reason.INTENT_TX_MISMATCH


def test_gas_below_what_data_cost_before_any_code_runs_is_refused() -> None:
    call, slots = intent(action=Call(KNOWN, 0, b"ab\0\0")), (Access(KNOWN, (bytes(32),)),)
    least = TRANSFER_GAS + 2 * 16 + 2 * 4
    conforms(call, replace(EXECUTION, gas_limit=least))
    assert why(conforms, call, replace(EXECUTION, gas_limit=least - 1)) is Reason.FEE_EXCEEDED
    listed = replace(EXECUTION, gas_limit=least + 2400 + 1900, access_list=slots)
    conforms(call, listed)
    assert why(conforms, call, replace(listed, gas_limit=listed.gas_limit - 1)) is Reason.FEE_EXCEEDED
    deploy = intent(action=Deploy(0, b"abcd"))
    conforms(deploy, replace(EXECUTION, gas_limit=TRANSFER_GAS + 32_000 + 2 + 4 * 16))
    assert (
        why(conforms, deploy, replace(EXECUTION, gas_limit=TRANSFER_GAS + 32_000 + 1 + 4 * 16)) is Reason.FEE_EXCEEDED
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": 3}, Reason.UNSUPPORTED_TYPE),
        ({"type": 4}, Reason.UNSUPPORTED_TYPE),
        ({"type": -1}, Reason.UNSUPPORTED_TYPE),
        ({"type": 0}, Reason.MALFORMED),  # two prices
        ({"type": 1}, Reason.MALFORMED),
        ({"type": 0, "max_priority_fee_per_gas": 10**9, "access_list": (Access(KNOWN, ()),)}, Reason.MALFORMED),
        ({"access_list": (Access(KNOWN[1:], ()),)}, Reason.MALFORMED),
        ({"access_list": (Access(KNOWN, (b"x",)),)}, Reason.MALFORMED),
        ({"access_list": (Access(KNOWN, ()),) * 65}, Reason.TOO_LARGE),
        ({"access_list": (Access(KNOWN, (bytes(32),) * 257),)}, Reason.TOO_LARGE),
    ],
)
def test_an_execution_that_no_transaction_of_its_type_can_have_is_refused(
    changes: dict[str, object], reason: Reason
) -> None:
    assert why(conforms, intent(), replace(EXECUTION, **changes)) is reason


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


@pytest.mark.parametrize("field", NUMBERS)
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
        (5, bytes(19)),
        (5, [KNOWN]),
        (8, b""),
        (8, [KNOWN]),
        (8, [[KNOWN]]),
        (8, [[KNOWN[1:], []]]),
        (8, [[KNOWN, bytes(32)]]),
        (8, [[KNOWN, [bytes(31)]]]),
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


@pytest.mark.parametrize("kind", [b"\x00", b"\x03", b"\x04", b"\x7f", b"\x80"])
def test_a_transaction_of_another_type_is_refused(kind: bytes) -> None:
    assert why(decode_signed, kind + rlp.encode(_raw())) is Reason.UNSUPPORTED_TYPE  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail_in_any_other_way_than_malformed(data: bytes) -> None:
    for raw in (data, *(kind + start + data for kind in (b"\x02", b"\x01", b"") for start in (b"", b"\xf8"))):
        for read in (decode_signed, read_unsigned):
            try:
                read(raw)
            except Malformed:
                continue


def test_a_recovery_id_that_a_transaction_cannot_carry_is_refused() -> None:
    for v in (2, 3, -1):
        with pytest.raises(Malformed):
            assemble(derive(intent(), EXECUTION), Signature(1, 1, v))


def test_an_address_of_another_length_has_no_checksum_form() -> None:
    for size in (0, 19, 21, 32):
        assert why(to_checksum, bytes(size)) is Reason.BAD_ADDRESS
