"""Transactions byte for byte, against eth-account; addresses and amounts as people write them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account._utils.legacy_transactions import serializable_unsigned_transaction_from_dict
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains import rlp
from oms_core.chains.amount import format_amount, parse_amount
from oms_core.chains.evm import (
    UnsignedTransaction,
    address_of,
    assemble,
    decode_signed,
    derive,
    parse_address,
    read_unsigned,
    sender,
    signing_bytes,
    signing_digest,
    to_checksum,
    transaction_hash,
)
from oms_core.chains.intent import Access, Bounds, Call, Deploy, Transfer
from oms_core.chains.keccak import keccak256
from oms_core.crypto.curve import Q, mul_base
from oms_core.crypto.ecdsa import Signature
from oms_core.errors import Malformed, Reason, Refused
from tests.people import intent

SECRET = 0xC0FFEE
KEY = SECRET.to_bytes(32, "big")
word = st.integers(0, (1 << 64) - 1)
accesses = st.builds(
    Access,
    st.binary(min_size=20, max_size=20),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
)


@st.composite
def transactions(draw: st.DrawFn) -> UnsignedTransaction:
    """Of all types, calls and creations."""
    kind, fee = draw(st.sampled_from((0, 1, 2))), draw(word)
    return UnsignedTransaction(
        chain_id=draw(st.integers(1, (1 << 63) - 1)),
        nonce=draw(word),
        max_priority_fee_per_gas=draw(word) if kind == 2 else fee,
        max_fee_per_gas=fee,
        gas_limit=draw(word),
        to=draw(st.binary(min_size=20, max_size=20) | st.just(b"")),
        value=draw(st.integers(0, (1 << 256) - 1)),
        data=draw(st.binary(max_size=80)),
        type=kind,
        access_list=draw(st.lists(accesses, max_size=3).map(tuple)) if kind else (),
    )


def as_dict(tx: UnsignedTransaction) -> dict[str, object]:
    plain = {
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "gas": tx.gas_limit,
        "to": to_checksum(tx.to) if tx.to else b"",
        "value": tx.value,
        "data": "0x" + tx.data.hex(),
    }
    if tx.type == 0:
        return {**plain, "gasPrice": tx.max_fee_per_gas}
    slots = [
        {"address": to_checksum(one.address), "storageKeys": [f"0x{slot.hex()}" for slot in one.slots]}
        for one in tx.access_list
    ]
    if tx.type == 1:
        return {**plain, "type": 1, "gasPrice": tx.max_fee_per_gas, "accessList": slots}
    fees = {"maxPriorityFeePerGas": tx.max_priority_fee_per_gas, "maxFeePerGas": tx.max_fee_per_gas}
    return {**plain, **fees, "type": 2, "accessList": slots}


def signed(tx: UnsignedTransaction) -> tuple[bytes, Signature]:
    made = Account.from_key(KEY).sign_transaction(as_dict(tx))
    v = made.v if tx.type else made.v - 35 - 2 * tx.chain_id
    return bytes(made.raw_transaction), Signature(made.r, made.s, v)


@given(transactions())
def test_the_signing_digest_is_the_one_of_eth_account(tx: UnsignedTransaction) -> None:
    theirs = serializable_unsigned_transaction_from_dict(as_dict(tx))
    assert signing_digest(tx) == bytes(theirs.hash())


@given(transactions())
def test_assembled_bytes_are_those_of_eth_account_and_read_back(tx: UnsignedTransaction) -> None:
    raw, signature = signed(tx)
    assert assemble(tx, signature) == raw
    assert decode_signed(raw) == (tx, signature)
    assert sender(raw) == address_of(mul_base(SECRET)) == bytes.fromhex(Account.from_key(KEY).address[2:])


@given(transactions())
def test_an_unsigned_transaction_says_what_would_be_signed(tx: UnsignedTransaction) -> None:
    raw = signing_bytes(tx)
    try:
        what, execution, chain = read_unsigned(raw)
    except Malformed:
        nothing = not tx.data and not (tx.value and tx.to)
        assert nothing or 0 < len(tx.data) < 4 or tx.to == bytes(20) or tx.max_priority_fee_per_gas > tx.max_fee_per_gas
        return
    bounds = Bounds(execution.gas_limit * execution.max_fee_per_gas, execution.gas_limit)
    order = replace(intent(), chain=chain, action=what, bounds=bounds)
    try:
        assert signing_bytes(derive(order, execution)) == raw
    except Refused as error:
        assert error.reason is Reason.FEE_EXCEEDED  # noqa: PT017 - too little gas for what it does


PLAIN = UnsignedTransaction(31337, 7, 1, 2, 21000, b"\x11" * 20, 10**18)


def test_a_transaction_hash_is_what_the_chain_calls_it() -> None:
    made = Account.from_key(KEY).sign_transaction(as_dict(PLAIN))
    assert transaction_hash(bytes(made.raw_transaction)) == bytes(made.hash)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_every_changed_byte_of_a_signed_transaction_is_refused_or_is_somebody_elses(kind: int) -> None:
    raw, _ = signed(replace(PLAIN, type=kind, max_priority_fee_per_gas=2))
    for at in range(len(raw)):
        bent = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        try:
            assert sender(bent) != address_of(mul_base(SECRET))
        except Malformed:
            continue


@pytest.mark.parametrize(
    "bend", [lambda raw: raw + b"\x00", lambda raw: raw[:-1], lambda raw: b"\x01" + raw[1:], lambda raw: b""]
)
def test_a_transaction_that_is_not_canonical_is_refused(bend: object) -> None:
    with pytest.raises(Malformed):
        decode_signed(bend(signed(PLAIN)[0]))  # type: ignore[operator]


UNSIGNED = [signing_bytes(replace(PLAIN, type=kind, max_priority_fee_per_gas=2)) for kind in (0, 1, 2)]


@pytest.mark.parametrize("raw", UNSIGNED)
def test_every_changed_byte_of_an_unsigned_transaction_says_something_else_or_is_refused(raw: bytes) -> None:
    for at in range(len(raw)):
        for flip in (1, 0x80, 0xFF):
            bent = raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
            try:
                assert read_unsigned(bent) != read_unsigned(raw)
            except Malformed:
                continue


def why(raw: bytes, chain: str = "") -> Reason:
    with pytest.raises(Malformed) as caught:
        read_unsigned(raw, chain)
    return caught.value.reason


def unsigned(**changes: object) -> bytes:
    return signing_bytes(replace(PLAIN, **changes))


def of_type(kind: int, *fields: rlp.Item) -> bytes:
    return bytes([kind]) + rlp.encode(list(fields))


LEGACY = [rlp.integer(n) for n in (7, 2, 21_000)] + [b"\x11" * 20, rlp.integer(5), b""]
FOUR = [rlp.integer(n) for n in (1, 7, 1, 2, 21_000)] + [b"\x11" * 20, rlp.integer(5), b"", []]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (rlp.encode(LEGACY), Reason.CHAIN_MISMATCH),  # type 0 without EIP-155
        (rlp.encode([*LEGACY, b"", b"", b""]), Reason.CHAIN_MISMATCH),
        (unsigned(chain_id=0), Reason.CHAIN_MISMATCH),
        (unsigned(chain_id=0, type=1), Reason.CHAIN_MISMATCH),
        (of_type(3, *FOUR, rlp.integer(1), [bytes(32)]), Reason.UNSUPPORTED_TYPE),
        (of_type(4, *FOUR, [[b"", b"\x22" * 20, b"", b"", b"\1", b"\1"]]), Reason.UNSUPPORTED_TYPE),  # chain_id = 0
        (of_type(4, *FOUR, [[b"\1", b"\x22" * 20, b"", b"", b"\1", b"\1"]]), Reason.UNSUPPORTED_TYPE),
        (of_type(5, *FOUR), Reason.UNSUPPORTED_TYPE),
        (b"\0" + rlp.encode([*LEGACY, b"\1", b"", b""]), Reason.UNSUPPORTED_TYPE),
        (b"", Reason.UNSUPPORTED_TYPE),
        (unsigned() + b"\0", Reason.TRAILING_BYTES),
        (unsigned(data=b"abc"), Reason.OPAQUE_CALL),
        (unsigned(to=bytes(20)), Reason.BAD_ADDRESS),
        (unsigned(value=0), Reason.MALFORMED),
        (rlp.encode([*LEGACY, b"\1", b"\1", b"\1"]), Reason.MALFORMED),  # signed
        (rlp.encode([b"\0\7", *LEGACY[1:], b"\1", b"", b""]), Reason.MALFORMED),  # a nonce with a leading zero
        (signed(PLAIN)[0], Reason.MALFORMED),
        (bytes([2]) + bytes(1 << 18), Reason.TOO_LARGE),
    ],
)
def test_an_unsigned_transaction_that_is_not_signed_here_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    assert why(raw) is reason


def test_an_unsigned_transaction_is_read_for_its_own_chain_only() -> None:
    assert read_unsigned(unsigned(), "eip155:31337")[2] == "eip155:31337"
    assert why(unsigned(), "eip155:1") is Reason.CHAIN_MISMATCH


def test_an_unsigned_transaction_is_a_transfer_a_call_or_a_deployment() -> None:
    assert read_unsigned(unsigned())[0] == Transfer("eip155:31337/slip44:60", b"\x11" * 20, 10**18)
    assert read_unsigned(unsigned(data=b"abcd"))[0] == Call(b"\x11" * 20, 10**18, b"abcd")
    assert read_unsigned(unsigned(to=b"", data=b"code"))[0] == Deploy(10**18, b"code")


def test_a_signature_that_is_good_on_every_chain_is_not_read() -> None:
    made = Account.from_key(KEY).unsafe_sign_hash(keccak256(rlp.encode(LEGACY)))
    for v in (27, 28, 35, 36):
        raw = rlp.encode([*LEGACY, *(rlp.integer(n) for n in (v, made.r, made.s))])
        with pytest.raises(Malformed) as caught:
            decode_signed(raw)
        assert caught.value.reason is Reason.CHAIN_MISMATCH


def test_a_high_s_signature_is_refused() -> None:
    raw, signature = signed(PLAIN)
    items = rlp.decode(raw[1:])
    high = [*items[:9], rlp.integer(1 - signature.v), items[10], rlp.integer(Q - signature.s)]  # type: ignore[list-item]
    with pytest.raises(Malformed) as caught:
        decode_signed(b"\x02" + rlp.encode(high))
    assert caught.value.reason == Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "bad",
    ["", "81", "8100", "817f", "b801ff", "b90001ff", "f801c0", "c0c0", "c2", "c181", "bfffffffffffffffff", "ff" * 9],
)
def test_rlp_that_is_not_in_its_shortest_form_is_refused(bad: str) -> None:
    with pytest.raises(Malformed):
        rlp.decode(bytes.fromhex(bad))


@given(st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20))
def test_rlp_reads_back_what_it_wrote(item: object) -> None:
    assert rlp.decode(rlp.encode(item)) == item  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x01", b"\x01" * 33, [b""]])
def test_an_integer_with_leading_zeros_or_too_many_bits_is_refused(data: object) -> None:
    with pytest.raises(Malformed):
        rlp.to_integer(data)  # type: ignore[arg-type]


EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP_55)
def test_the_vectors_of_eip_55_read_and_write(text: str) -> None:
    assert to_checksum(parse_address(text)) == text


@pytest.mark.parametrize("text", EIP_55[2:])
def test_one_letter_in_the_wrong_case_fails_the_checksum(text: str) -> None:
    at = next(i for i, c in enumerate(text) if c.isalpha() and i > 1)
    with pytest.raises(Malformed) as caught:
        parse_address(text[:at] + text[at].swapcase() + text[at + 1 :])
    assert caught.value.reason == Reason.BAD_CHECKSUM


def test_all_lower_case_passes_only_where_machines_write() -> None:
    lower = EIP_55[2].lower()
    assert parse_address(lower) == parse_address(EIP_55[2])
    with pytest.raises(Malformed):
        parse_address(lower, allow_lower=False)


@pytest.mark.parametrize(
    "text", ["", "0x", "0x12", EIP_55[0][2:], EIP_55[0] + "0", EIP_55[0] + "\n", "0X" + EIP_55[0][2:]]
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_address(text)
    assert caught.value.reason == Reason.BAD_ADDRESS


@given(st.integers(0, 10**40), st.integers(0, 30))
def test_an_amount_reads_back_what_it_wrote(amount: int, decimals: int) -> None:
    assert parse_amount(format_amount(amount, decimals), decimals) == amount


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", Reason.NEGATIVE_AMOUNT),
        ("-0.5", Reason.NEGATIVE_AMOUNT),
        ("1.0000000000000000001", Reason.PRECISION),
        ("", Reason.MALFORMED),
        (".5", Reason.MALFORMED),
        ("1.", Reason.MALFORMED),
        ("1e3", Reason.MALFORMED),
        ("1,000", Reason.MALFORMED),
        ("+1", Reason.MALFORMED),
        (" 1", Reason.MALFORMED),
        ("1\n", Reason.MALFORMED),
        ("١", Reason.MALFORMED),
        ("0x10", Reason.MALFORMED),
        ("NaN", Reason.MALFORMED),
        ("9" * 61, Reason.MALFORMED),
    ],
)
def test_an_amount_that_is_none_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(Malformed) as caught:
        parse_amount(text, 18)
    assert caught.value.reason == reason
