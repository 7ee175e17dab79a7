"""Calls byte for byte, against eth_abi: one meaning has one form, and everything else is refused."""

from __future__ import annotations

import eth_abi
import pytest
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains import abi
from oms_core.chains.abi import Base, Type, Value, decode, encode, encode_texts, method, parse_type
from oms_core.chains.address import to_checksum
from oms_core.errors import Malformed, Reason

ATOMS = ("uint8", "uint160", "uint256", "int16", "int256", "bytes1", "bytes32", "address", "bool", "bytes", "string")


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.tuples(inner, st.sampled_from(("[]", "[1]", "[3]"))).map("".join)
    tuples = st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({','.join(parts)})")
    return arrays | tuples


names = st.recursive(st.sampled_from(ATOMS), _wrapped, max_leaves=5).filter(lambda text: text.count("[3]") < 3)


def values(kind: Type) -> st.SearchStrategy[Value]:
    match kind.base:
        case Base.UINT:
            return st.integers(0, (1 << kind.size) - 1)
        case Base.INT:
            return st.integers(-(1 << (kind.size - 1)), (1 << (kind.size - 1)) - 1)
        case Base.BOOL:
            return st.booleans()
        case Base.ADDRESS:
            return st.binary(min_size=20, max_size=20)
        case Base.FIXED:
            return st.binary(min_size=kind.size, max_size=kind.size)
        case Base.BYTES:
            return st.binary(max_size=70)
        case Base.STRING:
            return st.text(st.characters(codec="utf-8"), max_size=20)
        case Base.TUPLE:
            return st.tuples(*(values(part) for part in kind.parts))
    low, high = (0, 3) if kind.size < 0 else (kind.size, kind.size)
    return st.lists(values(kind.parts[0]), min_size=low, max_size=high).map(tuple)


calls = st.lists(names, max_size=4).flatmap(
    lambda texts: st.tuples(st.just(texts), st.tuples(*(values(parse_type(text)) for text in texts)))
)


@given(calls)
def test_what_is_encoded_is_what_eth_abi_encodes_and_reads_back(call: tuple[list[str], tuple[Value, ...]]) -> None:
    texts, given_values = call
    kinds = [parse_type(text) for text in texts]
    data = encode(kinds, given_values)
    theirs = [_theirs(kind, value) for kind, value in zip(kinds, given_values, strict=True)]
    assert data == eth_abi.encode(texts, theirs)
    assert decode(kinds, data) == given_values


def _theirs(kind: Type, value: Value) -> object:
    if kind.base is Base.ADDRESS:
        return to_checksum(value)  # type: ignore[arg-type]
    if isinstance(value, tuple):
        parts = kind.parts * len(value) if kind.base is Base.ARRAY else kind.parts
        return tuple(_theirs(part, one) for part, one in zip(parts, value, strict=True))
    return value


@given(calls, st.data())
def test_a_changed_byte_changes_the_values_or_is_refused(
    call: tuple[list[str], tuple[Value, ...]], data: st.DataObject
) -> None:
    texts, given_values = call
    kinds = [parse_type(text) for text in texts]
    plain = encode(kinds, given_values)
    if not plain:
        return
    at = data.draw(st.integers(0, len(plain) - 1))
    bent = bytearray(plain)
    bent[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(kinds, bytes(bent))
    except Malformed:
        return
    assert repr(read) != repr(given_values)


@given(names, st.binary(max_size=200))
def test_what_we_read_of_any_bytes_eth_abi_reads_too(text: str, data: bytes) -> None:
    kind = parse_type(text)
    try:
        read = decode([kind], data)
    except Malformed:
        return
    try:
        theirs = eth_abi.decode([text], data)
    except DecodingError:
        pytest.fail("read what eth_abi refuses")
    assert eth_abi.encode([text], theirs) == data == encode([kind], read)


@given(calls, st.binary(min_size=1, max_size=70))
def test_bytes_after_the_arguments_are_refused(call: tuple[list[str], tuple[Value, ...]], rest: bytes) -> None:
    texts, given_values = call
    kinds = [parse_type(text) for text in texts]
    with pytest.raises(Malformed) as caught:
        decode(kinds, encode(kinds, given_values) + rest)
    assert caught.value.reason is Reason.TRAILING_BYTES


@given(calls, st.data())
def test_a_truncated_call_is_refused(call: tuple[list[str], tuple[Value, ...]], data: st.DataObject) -> None:
    kinds = [parse_type(text) for text in call[0]]
    plain = encode(kinds, call[1])
    if plain:
        with pytest.raises(Malformed):
            decode(kinds, plain[: data.draw(st.integers(0, len(plain) - 1))])


@pytest.mark.parametrize(
    "signature",
    [
        "transfer(address,uint256)",
        "multicall(bytes[])",
        "aggregate3((address,bool,bytes)[])",
        "f()",
        "$_a1((uint8[3][],(bool,string)[2])[])",
    ],
)
def test_a_selector_is_the_one_that_the_chain_uses(signature: str) -> None:
    assert method(signature).selector == function_signature_to_4byte_selector(signature)
    assert method(signature).signature == signature


@pytest.mark.parametrize(
    "bad",
    [
        "", "f", "f(", "f)", "(uint256)", "1f()", "f(uint)", "f(int)", "f(uint7)", "f(uint264)", "f(uint0)",
        "f(uint08)", "f(bytes0)", "f(bytes33)", "f(byte)", "f(fixed)", "f(function)", "f( uint8)", "f(uint8 )",
        "f(uint8 a)",
        "f(uint8,)", "f(,uint8)", "f(uint8)x", "f(uint8) ", "f(())", "f(uint8[0])", "f(uint8[01])", "f(uint8[-1])",
        "f(uint8[)", "f(tuple)", "f(Uint8)", "f(uint８)", "f(address payable)", "f(uint8)\n",
        "f(" + "(" * 9 + "bool" + ")" * 9 + ")", "f(bool" + "[]" * 9 + ")", "f(" + ",".join(["bool"] * 400) + ")",
    ],
)  # fmt: skip
def test_what_is_not_a_canonical_signature_is_refused(bad: str) -> None:
    with pytest.raises(Malformed):
        method(bad)


WORDS = {"one": (1).to_bytes(32, "big"), "x20": (32).to_bytes(32, "big"), "x40": (64).to_bytes(32, "big")}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("address", b"\x01" + bytes(31)),  # a dirty upper half, which a contract may read as the same address
        ("bool", (2).to_bytes(32, "big")),
        ("uint8", (256).to_bytes(32, "big")),
        ("int8", (128).to_bytes(32, "big")),
        ("bytes4", b"abcd" + bytes(27) + b"x"),
        ("bytes", WORDS["x40"] + WORDS["one"] + b"a" + bytes(31)),  # an offset that leaves a gap
        ("bytes", bytes(32)),  # an offset into itself
        ("bytes", WORDS["x20"] + WORDS["one"] + b"a" + bytes(30) + b"b"),  # dirty padding
        ("string", WORDS["x20"] + WORDS["one"] + b"\xff" + bytes(31)),
        ("bytes[]", WORDS["x20"] + (2).to_bytes(32, "big") + WORDS["x40"] * 2 + WORDS["one"] + b"a" + bytes(31)),
        ("uint256[]", WORDS["x20"] + b"\xff" * 32),
        ("uint256[9999][9999]", bytes(320)),
    ],
)
def test_arguments_that_are_not_in_their_one_form_are_refused(kind: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        decode([parse_type(kind)], data)


def test_two_parts_that_point_to_the_same_bytes_are_refused_though_a_contract_would_read_them() -> None:
    kinds = [parse_type("bytes"), parse_type("bytes")]
    shared = WORDS["x40"] * 2 + WORDS["one"] + b"a" + bytes(31)
    assert eth_abi.decode(["bytes", "bytes"], shared) == (b"a", b"a")
    with pytest.raises(Malformed):
        decode(kinds, shared)


def test_more_bytes_or_elements_than_the_limits_are_too_large() -> None:
    pairs, most = parse_type("uint8[1][]"), abi.MAX_ELEMENTS // 2 - 1
    assert len(decode([pairs], encode([pairs], (((1,),) * most,)))[0]) == most  # type: ignore[arg-type]
    for kind, value in ((pairs, ((1,),) * (most + 1)), (parse_type("bytes"), bytes(abi.MAX_CALLDATA))):
        with pytest.raises(Malformed) as caught:
            decode([kind], encode([kind], (value,)))
        assert caught.value.reason is Reason.TOO_LARGE
    with pytest.raises(Malformed) as caught:
        decode([parse_type("bytes")], bytes(abi.MAX_CALLDATA + 32))
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256), ("uint8", -1), ("uint8", "1"), ("bool", 2), ("address", bytes(19)),
        ("address", "0x" + "11" * 20),
        ("bytes4", b"abc"), ("bytes", "text"), ("string", b"bytes"), ("string", "\ud800"), ("uint8[2]", (1,)),
        ("(uint8,bool)", (1,)), ("uint8[]", 1),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_type_is_not_encoded(kind: str, value: Value) -> None:
    with pytest.raises(Malformed):
        encode([parse_type(kind)], [value])


def test_a_method_reads_its_own_calls_only() -> None:
    send = method("transfer(address,uint256)")
    data = send.encode(b"\x11" * 20, 5)
    assert send.decode(data) == (b"\x11" * 20, 5)
    for other in (b"", data[:3], method("approve(address,uint256)").encode(b"\x11" * 20, 5)):
        with pytest.raises(Malformed):
            send.decode(other)


def test_arguments_as_people_write_them_become_call_data() -> None:
    to = to_checksum(bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"))
    data = encode_texts("f(address,int8,bool,bytes,bytes2,string)", [to, "-5", "true", "0xAb", "0x0102", "ä"])
    expected = (bytes.fromhex(to[2:]), -5, True, b"\xab", b"\x01\x02", "ä")
    assert method("f(address,int8,bool,bytes,bytes2,string)").decode(data) == expected


def test_arrays_and_tuples_are_written_as_lists_of_texts() -> None:
    to = to_checksum(b"\x11" * 20)
    data = encode_texts("f(address[],(uint8,bool[2])[],uint8[])", [f'["{to}"]', '[["1", ["true", "false"]]]', "[]"])
    expected = ((b"\x11" * 20,), ((1, (True, False)),), ())
    assert method("f(address[],(uint8,bool[2])[],uint8[])").decode(data) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("uint8[]", "[1]"), ("uint8[]", '"1"'), ("uint8[]", "["), ("uint8[]", "[" * 9999), ("uint8[2]", '["1"]'),
        ("(uint8,bool)", '["1"]'), ("uint8[]", '{"0": "1"}'), ("uint8[]", '[["1"]]'),
        ("uint8", "01"), ("uint8", "1.0"), ("uint8", "0x1"), ("uint8", "-1"), ("uint8", "１"), ("uint8", "1\n"),
        ("bool", "1"), ("bytes", "ab"), ("bytes", "0xa"), ("address", "0x" + "ab" * 20), ("uint8[]", "1"),
        ("(bool)", "true"),
    ],
)  # fmt: skip
def test_an_argument_that_could_be_read_in_two_ways_is_refused(kind: str, text: str) -> None:
    with pytest.raises(Malformed):
        encode_texts(f"f({kind})", [text])
