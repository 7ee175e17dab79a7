"""Typed data and texts against eth_account, and each way in which others sign what nobody was shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from eth_account._utils.encode_typed_data.encoding_and_hashing import encode_type as their_encode_type
from eth_account.messages import _hash_eip191_message, encode_defunct, encode_typed_data
from hypothesis import assume, given
from hypothesis import strategies as st

from oms_core.chains.address import to_checksum
from oms_core.chains.eip712 import MAX_JSON, read_typed
from oms_core.chains.messages import MAX_TEXT, check_text, text_digest
from oms_core.errors import CountersealError, Malformed, Reason
from tests.unit.chains.world import CHAIN, KNOWN, TOKEN, typed

MAIL = {"Mail": "Person from,Person[] to,string contents,bytes data", "Person": "string name,address wallet"}
ANNA = {"name": "Anna", "wallet": to_checksum(KNOWN)}
HELLO = {"from": ANNA, "to": [ANNA, {"name": "Ben", "wallet": to_checksum(TOKEN)}], "contents": "Hi", "data": "0xAb"}


def theirs(text: str) -> bytes:
    return bytes(_hash_eip191_message(encode_typed_data(full_message=json.loads(text))))


def why(text: str, chain: str = CHAIN) -> Reason:
    with pytest.raises(CountersealError) as caught:
        read_typed(text, chain)
    return caught.value.reason


def test_typed_data_is_read_field_by_field_and_hashed_as_the_standard_says() -> None:
    text = typed("Mail", MAIL, HELLO)
    read = read_typed(text, CHAIN)
    assert read.digest == theirs(text)
    assert (read.contract, read.primary) == (TOKEN, "Mail")
    assert read.form == their_encode_type("Mail", json.loads(text)["types"])
    assert read.signature == "Mail((string,address),(string,address)[],string,bytes)"
    assert [(field.place, field.value) for field in read.fields] == [
        ("from.name", "Anna"),
        ("from.wallet", to_checksum(KNOWN)),
        ("to.length", 2),
        ("to[0].name", "Anna"),
        ("to[0].wallet", to_checksum(KNOWN)),
        ("to[1].name", "Ben"),
        ("to[1].wallet", to_checksum(TOKEN)),
        ("contents", "Hi"),
        ("data", "0xab"),
    ]
    assert [field.place for field in read.domain] == ["name", "chainId", "verifyingContract"]


VALUES: dict[str, st.SearchStrategy[object]] = {
    "uint8": st.integers(0, 255),
    "uint256": st.integers(0, (1 << 256) - 1),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(to_checksum),
    "bytes": st.binary(max_size=40).map(lambda data: f"0x{data.hex()}"),
    "bytes4": st.binary(min_size=4, max_size=4).map(lambda data: f"0x{data.hex()}"),
    "bytes32": st.binary(min_size=32, max_size=32).map(lambda data: f"0x{data.hex()}"),
    "string": st.text(st.characters(codec="utf-8"), max_size=20),
}


@st.composite
def messages(draw: st.DrawFn) -> str:
    """Typed data over structs that use only those after them, with arrays of all kinds."""
    names = ["Top", "Alpha", "Beta"][: draw(st.integers(1, 3))]
    types: dict[str, list[str]] = {}
    for i, name in enumerate(names):
        kinds = [*VALUES, *names[i + 1 :]]
        suffixes = ("", "", "[]", "[2]", "[][2]")
        types[name] = [
            draw(st.sampled_from(kinds)) + draw(st.sampled_from(suffixes)) for _ in range(draw(st.integers(1, 4)))
        ]
        if i + 1 < len(names):
            types[name].append(names[i + 1])

    def value(kind: str) -> object:
        if kind.endswith("]"):
            inner, _, size = kind[:-1].rpartition("[")
            return [value(inner) for _ in range(int(size) if size else draw(st.integers(0, 2)))]
        return struct(kind) if kind in types else draw(VALUES[kind])

    def struct(name: str) -> dict[str, object]:
        return {f"m{i}": value(kind) for i, kind in enumerate(types[name])}

    written = {name: ",".join(f"{kind} m{i}" for i, kind in enumerate(kinds)) for name, kinds in types.items()}
    return typed("Top", written, struct("Top"))


@given(messages())
def test_what_we_hash_is_what_eth_account_hashes(text: str) -> None:
    assert read_typed(text, CHAIN).digest == theirs(text)


@given(messages(), st.data())
def test_a_changed_character_changes_what_is_read_or_is_refused(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    bent = text[:at] + data.draw(st.characters(codec="ascii")) + text[at + 1 :]
    plain = read_typed(text, CHAIN)
    try:
        read = read_typed(bent, CHAIN)
    except Malformed:
        return
    same = (read.digest == plain.digest) == (
        (read.form, read.fields, read.domain) == (plain.form, plain.fields, plain.domain)
    )
    assert same


@given(st.integers(0, (1 << 256) - 1))
def test_an_integer_may_stand_in_a_text_as_programs_write_it(number: int) -> None:
    form = {"A": "uint256 n"}
    assert read_typed(typed("A", form, {"n": str(number)}), CHAIN) == read_typed(typed("A", form, {"n": number}), CHAIN)


def bent(**changes: object) -> str:
    whole = json.loads(typed("Mail", MAIL, HELLO))
    return json.dumps({key: value for key, value in {**whole, **changes}.items() if value is not None})


def domain(**changes: object) -> str:
    whole = json.loads(typed("Mail", MAIL, HELLO))
    kept = {key: value for key, value in {**whole["domain"], **changes}.items() if value is not None}
    members = [one for one in whole["types"]["EIP712Domain"] if one["name"] in kept]
    return bent(domain=kept, types={**whole["types"], "EIP712Domain": members})


def test_a_domain_without_its_type_is_not_taken_for_an_empty_one() -> None:
    types = json.loads(typed("Mail", MAIL, HELLO))["types"]
    without = {name: members for name, members in types.items() if name != "EIP712Domain"}
    assert why(bent(types=without)) is Reason.MALFORMED
    assert why(bent(types={**types, "EIP712Domain": []}, domain={})) is Reason.MALFORMED
    assert why(bent(domain={})) is Reason.CHAIN_MISMATCH


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (domain(chainId=None), Reason.CHAIN_MISMATCH),
        (domain(chainId=1), Reason.CHAIN_MISMATCH),
        (domain(chainId=0), Reason.CHAIN_MISMATCH),
        (domain(chainId="0x7a69"), Reason.MALFORMED),
        (domain(verifyingContract=None), Reason.BAD_ADDRESS),
        (domain(verifyingContract="0x" + "00" * 20), Reason.BAD_ADDRESS),
        (domain(verifyingContract=to_checksum(TOKEN).swapcase().replace("X", "x")), Reason.BAD_CHECKSUM),
        (domain(name=1), Reason.MALFORMED),
        (bent(domain={"name": "Test", "chainId": 31337, "verifyingContract": to_checksum(TOKEN), "extra": 1}),
         Reason.MALFORMED),
        (bent(domain=[]), Reason.CHAIN_MISMATCH),
    ],
)  # fmt: skip
def test_a_domain_that_does_not_name_this_chain_and_a_contract_is_refused(text: str, reason: Reason) -> None:
    assert why(text) is reason


def test_the_same_data_is_refused_for_another_chain() -> None:
    assert why(typed("Mail", MAIL, HELLO), "eip155:1") is Reason.CHAIN_MISMATCH


@pytest.mark.parametrize(
    "members",
    [
        "uint256 chainId,string name,address verifyingContract",
        "string name,uint64 chainId,address verifyingContract",
        "string name,uint256 chainId,address verifyingContract,string note",
        "string name,uint256 chainId,bytes20 verifyingContract",
    ],
)
def test_a_domain_of_another_form_than_the_standards_is_refused(members: str) -> None:
    with pytest.raises(Malformed):
        read_typed(typed("Mail", {**MAIL, "EIP712Domain": members}, HELLO), CHAIN)


ONE = {"A": "uint8 n"}


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (ONE, {}),
        (ONE, {"n": 1, "more": 2}),  # what eth_account would not sign, and a person would read
        (ONE, {"n": 256}),
        (ONE, {"n": -1}),
        (ONE, {"n": True}),
        (ONE, {"n": None}),
        (ONE, {"n": "01"}),
        (ONE, {"n": "0x1"}),
        (ONE, {"n": " 1"}),
        (ONE, {"n": 1.0}),
        (ONE, {"n": [1]}),
        (ONE, []),
        ({"A": "bool b"}, {"b": 1}),
        ({"A": "bool b"}, {"b": "true"}),
        ({"A": "bytes b"}, {"b": "ab"}),
        ({"A": "bytes b"}, {"b": "0xa"}),
        ({"A": "bytes4 b"}, {"b": "0xabcd"}),
        ({"A": "bytes4 b"}, {"b": "0xabcdef0123"}),
        ({"A": "string s"}, {"s": 1}),
        ({"A": "string s"}, {"s": "\ud800"}),
        ({"A": "address a"}, {"a": "0x" + "11" * 19}),
        ({"A": "address a"}, {"a": 1}),
        ({"A": "uint8[2] l"}, {"l": [1]}),
        ({"A": "uint8[] l"}, {"l": {"0": 1}}),
        ({"A": "uint8[][] l"}, {"l": [1]}),
        ({"A": "B b"}, {"b": {"n": 1}}),  # a type that there is not
        ({"A": "uint b"}, {"b": 1}),
        ({"A": "uint7 b"}, {"b": 1}),
        ({"A": "uint8[0] b"}, {"b": []}),
        ({"A": "A a"}, {"a": {}}),
        ({"A": "B[] b", "B": "A[] a"}, {"b": []}),
        ({"A": "uint8 n,uint8 n"}, {"n": 1}),
        ({"A": "uint8 n", "Unused": "uint8 m"}, {"n": 1}),
        ({"A": "uint8 n", "uint8": "bool b"}, {"n": 1}),
        ({"A": "uint8 n-m"}, {"n-m": 1}),
    ],
)
def test_a_message_that_is_not_exactly_of_its_type_is_refused(types: dict[str, str], message: object) -> None:
    assert why(typed("A", types, message)) in (Reason.MALFORMED, Reason.BAD_ADDRESS)


GOOD = typed("A", ONE, {"n": 1})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        GOOD[:-1],
        GOOD + "x",
        GOOD.replace('"n": 1}', '"n": 1, "n": 2}'),
        GOOD.replace('"n": 1}', '"n": NaN}'),
        GOOD.replace('"n": 1}', '"n": 1e0}'),
        GOOD.replace('"n": 1}', '"n": -0}'),
        GOOD.replace('"n": 1}', '"n": ' + "9" * 5000 + "}"),
        GOOD.replace('"primaryType": "A"', '"primaryType": "EIP712Domain"'),
        GOOD.replace('"primaryType": "A"', '"primaryType": "B"'),
        GOOD.replace('"primaryType": "A"', '"primaryType": ["A"]'),
        GOOD[:-1] + ', "more": 1}',
        "[" * 20_000,
        '{"types":' * 3000,
    ],
)
def test_what_is_not_one_plain_json_object_is_refused(text: str) -> None:
    assert why(text) is Reason.MALFORMED


def test_typed_data_beyond_the_limits_is_refused_quickly() -> None:
    assert why(typed("A", {"A": "string s"}, {"s": "x" * MAX_JSON})) is Reason.TOO_LARGE
    assert why(typed("A", {"A": "uint8[] l"}, {"l": [0] * 1024})) is Reason.TOO_LARGE
    doubling = {f"T{i}": f"T{i + 1}[] a,T{i + 1}[] b" for i in range(60)} | {"T60": "bool x"}
    assert why(typed("T0", doubling, {"a": [], "b": []})) is Reason.TOO_LARGE
    assert why(typed("T0", {f"T{i}": "bool x" for i in range(64)}, {"x": True})) is Reason.MALFORMED


def test_a_read_message_knows_its_values_by_their_places() -> None:
    read = read_typed(typed("Mail", MAIL, HELLO), CHAIN)
    assert read.value("to[1].name") == "Ben"
    assert replace(read, fields=()).fields == ()


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_a_text_is_hashed_as_eth_account_hashes_it_or_is_refused(text: str) -> None:
    try:
        digest = text_digest(text)
    except Malformed:
        return
    assert digest == bytes(_hash_eip191_message(encode_defunct(text=text)))


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), min_size=1, max_size=80))
def test_plain_text_is_signed(text: str) -> None:
    assume(len(text) != 32 and len(text) < 64 and text.strip())
    assert text_digest(text) == bytes(_hash_eip191_message(encode_defunct(text=text)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * 32, Reason.UNSUPPORTED_TYPE),
        ("é" * 16, Reason.UNSUPPORTED_TYPE),
        ("0x" + "ab" * 32, Reason.UNSUPPORTED_TYPE),
        ("AB" * 32, Reason.UNSUPPORTED_TYPE),
        (" 0x" + "ab" * 32 + "\n", Reason.UNSUPPORTED_TYPE),
        ("", Reason.MALFORMED),
        (" \n ", Reason.MALFORMED),
        ("two\r\nlines", Reason.MALFORMED),
        ("\x19\x01", Reason.MALFORMED),
        ("right-to-left \u202e", Reason.MALFORMED),
        ("\ud800", Reason.MALFORMED),
        ("a" * (MAX_TEXT + 1), Reason.TOO_LARGE),
    ],
)
def test_a_text_that_could_stand_for_something_else_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(Malformed) as caught:
        check_text(text)
    assert caught.value.reason is reason


def test_lines_are_text() -> None:
    assert check_text("I sign in\nas desk") == b"I sign in\nas desk"
