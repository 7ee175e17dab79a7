"""The published vectors: made again byte by byte, and verified by code that shares nothing with what made them."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import random
import secrets
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ecdsa import NIST256p, VerifyingKey
from ecdsa.util import sigdecode_string

import oms_core
from tests.vectors import independent, independent_runs, make_transcripts
from tests.vectors.independent import Refuted, digest, encode, read
from tests.vectors.stream import COVERED, Escaped, Stream, seeded

FOLDER = make_transcripts.FOLDER
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
AGAIN = "make them again: python -m tests.vectors.make_transcripts"
PROOFS = list(independent.PROOFS)
MAX_BYTES = 300_000

made_again = cache(make_transcripts.files)


@cache
def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def proof(name: str) -> Any:
    return load(f"proof-{name.replace('*', '-star')}")


def test_all_files_are_there_and_none_is_left_over() -> None:
    assert sorted(made_again()) == FILES, AGAIN


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_made_again_byte_by_byte(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    same = made_again().get(name) == written
    assert same, f"{name} is not what the code makes; raise VERSION if a published set changes, and {AGAIN}"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_small_and_names_its_version(name: str) -> None:
    assert (FOLDER / name).stat().st_size < MAX_BYTES
    assert load(name.removesuffix(".json"))["version"] == make_transcripts.VERSION


def test_the_page_lists_the_files_as_they_are_and_the_version() -> None:
    page = make_transcripts.PAGE.read_text(encoding="utf-8")
    assert page == make_transcripts.with_table(page, made_again()), AGAIN
    assert f"\n| {make_transcripts.VERSION} |" in page


@pytest.mark.parametrize("name", PROOFS)
def test_a_challenge_is_the_hash_of_the_place_the_statement_and_the_first_message(name: str) -> None:
    file = proof(name)
    challenge, statement, made = file["challenge"], read(file["statement"]["value"]), read(file["proof_made"]["value"])
    first = {"sch": read(file.get("first_message")), "mod": made.get("w"), "prm": made.get("A")}
    commitment = first.get(name, made.get("commitment"))
    hashed = independent.hash_input(f"challenge {name}", read(file["context"]["value"]), statement, commitment)
    assert hashed.hex() == challenge["input"]
    assert hashlib.shake_256(hashed).hexdigest(64) == challenge["shake256"]
    level = file["level"]
    match name:
        case "fac":
            drawn: Any = independent.signed(hashed, level["ell"])
        case "mod":
            drawn = independent.residues(hashed, statement, level["repetitions"])
        case "prm" | "dec" | "aff-g*":
            drawn = independent.bits_of(hashed, level["repetitions"])
        case _:
            drawn = independent.scalar(hashed)
    assert drawn == read(challenge["read"])


@pytest.mark.parametrize("name", PROOFS)
def test_the_bytes_of_a_proof_say_what_its_fields_say(name: str) -> None:
    for part in ("context", "statement", "proof_made"):
        both = proof(name)[part]
        assert encode(read(both["value"])).hex() == both["bytes"]
        assert independent.decode(bytes.fromhex(both["bytes"])) == read(both["value"])


@pytest.mark.parametrize("name", PROOFS)
def test_an_independent_verifier_accepts_the_proof(name: str) -> None:
    check(name, proof(name))


@pytest.mark.parametrize("name", PROOFS)
def test_an_independent_verifier_refuses_every_spoilt_proof_for_the_same_claim(name: str) -> None:
    file = proof(name)
    assert len(file["refused"]) > 10
    for spoilt in file["refused"]:
        with pytest.raises(Refuted) as refuted:
            check(name, changed(file, spoilt["path"], spoilt))
        assert str(refuted.value) == spoilt["claim"], spoilt["path"]


@pytest.mark.parametrize("name", PROOFS)
def test_an_independent_verifier_refuses_every_false_statement_for_the_same_claim(name: str) -> None:
    file = proof(name)
    assert bool(file["false"]) == (name not in ("fac", "mod", "prm"))
    for false in file["false"]:
        bent = {**changed(file, false["path"], false), "proof_made": false["proof_made"]}
        with pytest.raises(Refuted) as refuted:
            check(name, bent)
        assert str(refuted.value) == false["claim"], false["path"]


def check(name: str, file: Any) -> None:
    context, statement, made = (read(_value(file[part])) for part in ("context", "statement", "proof_made"))
    if name == "sch":
        made["first_message"] = read(file["first_message"])
    independent.verify(name, file["level"], context, statement, made)


def _value(part: Any) -> Any:
    return part["value"] if isinstance(part, dict) and "value" in part else part


def changed(whole: Any, path: list[str | int], spoilt: Any) -> Any:
    """A copy of a file with the change that ``spoilt`` writes down."""
    whole = _value(whole)
    if not path:
        return whole[: spoilt["cut_to"]] if "cut_to" in spoilt else spoilt["to"]
    copy: Any = list(whole) if isinstance(whole, list) else dict(whole)
    copy[path[0]] = changed(copy[path[0]], path[1:], spoilt)
    return copy


@pytest.mark.parametrize("name", PROOFS)
def test_the_spoilt_proofs_reach_every_claim_that_one_change_can_reach(name: str) -> None:
    source = Path(independent.__file__).read_text(encoding="utf-8")
    [function] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == independent.PROOFS[name].__name__
    ]
    claims = {
        node.args[-1].value
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("claim", "mask")
        if isinstance(node.args[-1], ast.Constant)
    }
    reached = {one["claim"] for one in proof(name)["refused"] + proof(name)["false"]}
    assert claims - reached == UNREACHED.get(name, set())


UNREACHED = {"mod": {"y is a unit modulo N"}}
"""Who finds another y has found a factor."""


@pytest.mark.parametrize("name", list(independent_runs.RUNS))
def test_an_independent_reader_follows_the_protocol_to_the_same_end(name: str) -> None:
    independent_runs.RUNS[name](independent_runs.Run(load(f"protocol-{name}")))


def tagged(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, inner)] = value.items()
    match kind:
        case "int":
            return int(inner, 16)
        case "bytes" | "point":
            return bytes.fromhex(inner)
        case "list":
            return [tagged(item) for item in inner]
        case "map":
            return {tagged(key): tagged(item) for key, item in inner}
    return inner


def test_an_independent_encoder_writes_the_same_bytes_and_reads_them_back() -> None:
    for one in load("encoding")["values"]:
        assert encode(tagged(one["value"])).hex() == one["bytes"]
        assert independent.decode(bytes.fromhex(one["bytes"])) == tagged(one["value"])


def test_the_digests_are_those_of_their_inputs_and_of_the_documents_beside_them() -> None:
    file = load("documents")
    for one in file["digests"]:
        assert hashlib.shake_256(bytes.fromhex(one["input"])).hexdigest(len(one["shake256"]) // 2) == one["shake256"]
        domain, version, context, _ = independent.decode(bytes.fromhex(one["input"]))
        assert (domain, version, context) == ("counterseal", 1, one["context"])
    for both in file["documents"]:
        assert encode(read(both["value"])).hex() == both["bytes"]


def test_a_session_id_is_made_of_parameters_spec_roster_and_hellos() -> None:
    file = load("documents")
    level, found = file["levels"]["L128"], {one["context"]: one for one in file["digests"]}
    documents = [read(both["value"]) for both in file["documents"]]
    spec = next(one for one in documents if one["@"] == "session-spec/1" and one["level"] == "L128")
    hellos = [one for one in documents if one["@"] == "hello/1"]
    sizes = [level[name] for name in ("ell", "epsilon", "ell_prime", "repetitions", "epsilon_dec")]
    parameters = digest("params", "L128", [2 * level["prime_bits"], *sizes], "secp256k1")
    roster = next(one for one in documents if one["@"] == "epoch/1")["roster"]
    ssid = digest("ssid", spec, parameters, roster, hellos, size=64)
    assert ssid.hex() == found["ssid"]["shake256"]
    assert all(hello["spec"] == digest("spec", spec) for hello in hellos)
    header = next(one for one in documents if one["@"] == "header/1")
    place = next(one for one in documents if one["@"] == "place/1")
    assert header["ssid"] == place["ssid"] == ssid
    assert place["content"] == digest("header content", header["broadcast"], header["directs"])


def test_an_identity_signs_another_digest_in_each_domain() -> None:
    file = load("documents")["identity"]
    key = VerifyingKey.from_string(bytes.fromhex(file["public"]), curve=NIST256p)
    for domain, one in file["domains"].items():
        hashed = encode(["counterseal identity", 1, domain, bytes.fromhex(file["message"])])
        assert hashed.hex() == one["input"]
        assert hashlib.sha256(hashed).hexdigest() == one["sha256"]
        signed = bytes.fromhex(one["sha256"])
        assert key.verify_digest(bytes.fromhex(one["signature"]), signed, sigdecode=sigdecode_string)
    assert len({one["sha256"] for one in file["domains"].values()}) == len(file["domains"])


def test_the_stream_is_as_the_page_describes_it() -> None:
    stream = Stream("a label")
    given = [b"counterseal vectors\0a label\0" + count.to_bytes(8, "big") for count in range(2)]
    assert stream.token_bytes(7) == hashlib.shake_256(given[0]).digest(7)
    assert stream.randbelow(1000) == int.from_bytes(hashlib.shake_256(given[1]).digest(18), "big") % 1000
    assert len(stream.drawn) == 2


def test_a_proof_follows_from_its_stream_and_witness_as_the_page_says() -> None:
    file = proof("elog")
    stream, witness, x = Stream("elog proof"), read(file["witness"]), read(file["statement"]["value"])
    alpha, mu = (1 + stream.randbelow(independent.Q - 1) for _ in range(2))
    A, B = (independent.times(k, base) for k, base in ((alpha, independent.G), (mu, independent.point(x["H"]))))
    N = independent.times(mu, independent.G) + independent.times(alpha, independent.point(x["X"]))
    made, e = read(file["proof_made"]["value"]), read(file["challenge"]["read"])
    assert {k: made["commitment"][k] for k in "ANB"} == {
        k: independent.written(point) for k, point in (("A", A), ("N", N), ("B", B))
    }
    assert made["z"] == (alpha + e * witness["lam"]) % independent.Q
    assert made["u"] == (mu + e * witness["y"]) % independent.Q


@pytest.mark.parametrize(
    "ask",
    [
        lambda: os.urandom(1),
        lambda: os.getrandom(1),
        lambda: secrets.randbits(8),
        lambda: secrets.token_hex(),
        lambda: secrets.choice([1]),
        lambda: secrets.SystemRandom().random(),
        lambda: random.SystemRandom().getrandbits(8),
        lambda: random.SystemRandom().randbytes(8),
    ],
)
def test_randomness_from_elsewhere_is_refused(ask: Any) -> None:
    with seeded(Stream("x")), pytest.raises(Escaped):
        ask()
    ask()


def test_the_arithmetic_the_proofs_and_the_protocols_ask_for_no_other_randomness() -> None:
    """What makes keys by itself, outside these files: sealing keys of a channel, and safe primes."""
    root, allowed = Path(oms_core.__file__).parent, set(COVERED)
    used: dict[str, set[str]] = {}
    for path in [*root.glob("crypto/*.py"), *root.glob("zk/*.py"), *root.glob("protocol/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not names & {"os", "random", "uuid", "numpy"}, path
                assert getattr(node, "module", "") != "secrets", path
            if isinstance(node, ast.Attribute):
                if isinstance(node.value, ast.Name) and node.value.id == "secrets":
                    used.setdefault(path.name, set()).add(node.attr)
                assert not node.attr.startswith(("random_state", "mpz_random", "mpz_urandom")), path
                assert node.attr != "generate" or path.name in ("envelope.py", "packets.py"), path
    used.pop("primes.py")
    assert set().union(*used.values()) <= allowed
    assert sys.modules["secrets"] is secrets
