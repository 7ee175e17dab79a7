"""What others have published, against the libraries as we call them: Wycheproof, and the vectors of RFC 9180.

Wycheproof names each vector by its tcId, and so does the message of every assertion here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gmpy2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oms_core.crypto import ecdsa, p256, primes
from oms_core.crypto.curve import Point, Q
from oms_core.errors import LocalError, Malformed, ProofInvalid, Reason
from oms_core.protocol.packets import SUITE
from oms_core.zk import mod

VECTORS = Path(__file__).parents[2] / "vectors"
HALF = (Q - 1) // 2


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def wycheproof(name: str) -> list[tuple[Any, ...]]:
    """The vectors of a file, hexadecimal fields as bytes: the group's public key (or nothing), then the fields."""
    loaded = load(f"wycheproof_{name}.json")
    return [
        (bytes.fromhex(group.get("public_key", "")), test[0], *(_raw(field) for field in test[1:-1]), test[-1])
        for group in loaded["groups"]
        for test in group["tests"]
    ]


def _raw(field: str | int) -> bytes | int:
    return bytes.fromhex(field) if isinstance(field, str) else field


def strict_der(signature: bytes) -> tuple[int, int] | None:
    """(r, s), or None for what is not the one DER form of a pair of numbers that are not negative."""
    try:
        r, s = decode_dss_signature(signature)
        return (r, s) if min(r, s) >= 0 and encode_dss_signature(r, s) == signature else None
    except ValueError:
        return None


def passes(check: Callable[..., object], *arguments: object) -> bool:
    """Whether a verifier is silent. It may only refuse as it is documented to."""
    try:
        check(*arguments)
    except (Malformed, ProofInvalid) as error:
        if error.reason is not Reason.SIGNATURE_INVALID:
            raise
        return False
    return True


# Of these invalid signatures, the verifier's sum u1·G + u2·Q is the identity.
NO_SUM = {"ecdsa_secp256k1": {390, 428, 429, 443, 444}, "ecdsa_secp256k1_bitcoin": {386, 424, 425, 439, 440}}


def accepts(key: bytes, message: bytes, r: int, s: int) -> int:
    """With how many recovery ids our verification, recovery by libsecp256k1 and then python-ecdsa, takes (r, s)."""
    signatures = [ecdsa.Signature(r, s, v) for v in range(4)]
    return sum(passes(ecdsa.verify, point(key), hashlib.sha256(message).digest(), made) for made in signatures)


def accepts_alone(key: bytes, message: bytes, r: int, s: int) -> bool:
    """Whether python-ecdsa alone takes (r, s)."""
    return passes(ecdsa.verify_independent, point(key), hashlib.sha256(message).digest(), ecdsa.Signature(r, s, 0))


def point(key: bytes) -> Point:
    return Point.from_bytes(bytes([2 | key[64] & 1]) + key[1:33])


def test_secp256k1_signatures_verify_as_published_and_high_s_is_refused_although_it_is_ecdsa() -> None:
    vectors, malleable = wycheproof("ecdsa_secp256k1"), 0
    for key, number, message, signature, result in vectors:
        pair = strict_der(signature)
        if pair is None:
            assert result == "invalid", f"tcId {number} is not DER"
            continue
        r, s = pair
        low = Q - s if HALF < s < Q else s
        valid = result == "valid"
        assert accepts(key, message, r, low) == int(valid), f"tcId {number}"
        if number not in NO_SUM["ecdsa_secp256k1"]:
            assert accepts_alone(key, message, r, low) == valid, f"tcId {number} by python-ecdsa alone"
        if low != s:
            malleable += 1
            refused = not accepts(key, message, r, s) and not accepts_alone(key, message, r, s)
            assert refused, f"tcId {number} has a high s"
    assert len(vectors) == 476
    assert malleable > 80


def test_secp256k1_signatures_with_bitcoin_s_rule_verify_exactly_as_published() -> None:
    vectors = wycheproof("ecdsa_secp256k1_bitcoin")
    for key, number, message, signature, result in vectors:
        pair, valid = strict_der(signature), result == "valid"
        assert (accepts(key, message, *pair) if pair else 0) == int(valid), f"tcId {number}"
        if pair and number not in NO_SUM["ecdsa_secp256k1_bitcoin"]:
            assert accepts_alone(key, message, *pair) == valid, f"tcId {number} by python-ecdsa alone"
    assert len(vectors) == 463


@pytest.mark.parametrize("name", NO_SUM)
def test_python_ecdsa_alone_refuses_a_signature_whose_sum_is_the_identity(name: str) -> None:
    vectors = [vector for vector in wycheproof(name) if vector[1] in NO_SUM[name]]
    for key, number, message, signature, _ in vectors:
        r, s = strict_der(signature)
        assert not accepts_alone(key, message, r, min(s, Q - s)), f"tcId {number}"
    assert len(vectors) == 5


def test_p256_signatures_in_our_raw_form_verify_as_published() -> None:
    vectors = wycheproof("ecdsa_p256_raw")
    for key, number, message, signature, result in vectors:
        verdict = passes(p256.verify, key, hashlib.sha256(message).digest(), signature)
        assert verdict == (result == "valid"), f"tcId {number}"
    assert len(vectors) == 262


def test_a_raw_p256_signature_has_64_bytes_even_where_others_would_have_the_same_numbers() -> None:
    key, _, message, signature, _ = next(vector for vector in wycheproof("ecdsa_p256_raw") if vector[-1] == "valid")
    digest, zero = hashlib.sha256(message).digest(), b"\0"
    assert passes(p256.verify, key, digest, signature)
    for longer in (signature[:32] + zero + signature[32:], zero + signature, signature + zero, signature * 2):
        assert not passes(p256.verify, key, digest, longer)


def test_p256_signatures_from_der_verify_as_published() -> None:
    vectors = wycheproof("ecdsa_p256")
    for key, number, message, signature, result in vectors:
        pair = strict_der(signature)
        if pair is None or max(pair) >> 256:
            assert result == "invalid", f"tcId {number} has no raw form"
            continue
        raw = b"".join(value.to_bytes(32, "big") for value in pair)
        verdict = passes(p256.verify, key, hashlib.sha256(message).digest(), raw)
        assert verdict == (result == "valid"), f"tcId {number}"
    assert len(vectors) == 484


def gcm() -> Iterator[tuple[int, bytes, bytes, bytes, bytes, bytes, bool]]:
    """Number, key, nonce, associated data, message, ciphertext with tag, valid."""
    for _, number, key, iv, aad, message, ciphertext, tag, result in wycheproof("aes256_gcm"):
        yield number, key, iv, aad, message, ciphertext + tag, result == "valid"


def test_aes_256_gcm_opens_as_published_with_every_nonce_that_it_takes() -> None:
    refused = set()
    for number, key, iv, aad, message, sealed, valid in gcm():
        try:
            opened = AESGCM(key).decrypt(iv, sealed, aad)
        except InvalidTag:
            opened = None
        except ValueError:
            refused.add(8 * len(iv))
            continue
        assert opened == (message if valid else None), f"tcId {number}"
        if valid:
            assert AESGCM(key).encrypt(iv, message, aad) == sealed, f"tcId {number}"
    assert refused == {0, 8, 16, 32, 48, 2056}


def hsm_verdicts(root: Path, vectors: list[tuple[bytes, bytes, bytes]]) -> list[bytes | None]:
    """What `Token.unseal` opens of (key, nonce ‖ sealed, associated data) with keys put into a new SoftHSM2 token."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    from cosigner.config import load as load_config
    from cosigner.hsm import Token
    from oms.devnet import ceremony

    config = ceremony.cosigner_files(root, 1, "localhost:1", "L112")
    ceremony.init_token(config)
    token = Token(load_config(config).hsm, 1)
    opened: list[bytes | None] = []
    for key, sealed, clear in vectors:
        template = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: key,
            Attribute.TOKEN: False,
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
        }
        token._seal_key = token._call(lambda template=template: token._session.create_object(template))
        try:
            opened.append(token.unseal(sealed, clear))
        except LocalError as error:
            if error.reason is not Reason.SHARE_AAD_MISMATCH:
                raise
            opened.append(None)
    token.close()
    return opened


def test_the_hsm_opens_aes_256_gcm_as_published(tmp_path: Path) -> None:
    vectors = [vector for vector in gcm() if len(vector[2]) == 12]
    given = [(key, iv + sealed, aad) for _, key, iv, aad, _, sealed, _ in vectors]
    # In its own process: a PKCS#11 module keeps one configuration, and other tests have their token open in this one.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        opened = pool.submit(hsm_verdicts, tmp_path, given).result()
    for (number, _, _, _, message, _, valid), found in zip(vectors, opened, strict=True):
        assert found == (message if valid else None), f"tcId {number}"
    assert len(vectors) == 66


def test_hkdf_sha256_derives_as_published_and_refuses_more_than_255_blocks() -> None:
    vectors = wycheproof("hkdf_sha256")
    for _, number, ikm, salt, info, size, okm, result in vectors:
        try:
            made = HKDF(SHA256(), size, salt, info).derive(ikm)
        except ValueError:
            assert (result, size) == ("invalid", 255 * 32 + 1), f"tcId {number}"
            continue
        assert (made, result) == (okm, "valid"), f"tcId {number}"
    assert len(vectors) == 86


@pytest.mark.parametrize("rounds", sorted({25, primes._ROUNDS, mod._PRIMALITY_ROUNDS}))
def test_primes_are_told_from_pseudoprimes_with_every_number_of_rounds_that_we_use(rounds: int) -> None:
    vectors = wycheproof("primality")
    for _, number, value, result in vectors:
        # The published "acceptable" are negatives of primes; gmpy2 says no to them, as we want it.
        found = gmpy2.is_prime(gmpy2.mpz(int.from_bytes(value, "big", signed=True)), rounds)
        assert found == (result == "valid"), f"tcId {number}"
    assert len(vectors) == 317


HPKE = {name: bytes.fromhex(value) for name, value in load("rfc9180_base_x25519_aes256.json").items() if name in (
    "info", "skRm", "pkRm", "enc", "shared_secret", "key_schedule_context", "secret", "key", "base_nonce"
)}  # fmt: skip
MESSAGES = load("rfc9180_base_x25519_aes256.json")["encryptions"]
KEM_ID, SUITE_ID = b"KEM\0\x20", b"HPKE\0\x20\0\x01\0\x02"


def extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + secret, "sha256")


def expand(suite: bytes, secret: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """For sizes of one block of SHA-256, which are all that this suite has."""
    return hmac.digest(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\1", "sha256")[:size]


def schedule(dh: bytes, enc: bytes, receiver: bytes, info: bytes) -> dict[str, bytes]:
    """RFC 9180, 4.1 and 5.1, base mode, written down from the text: a second opinion on the library's."""
    shared = expand(KEM_ID, extract(KEM_ID, b"", b"eae_prk", dh), b"shared_secret", enc + receiver, 32)
    context = b"\0" + extract(SUITE_ID, b"", b"psk_id_hash", b"") + extract(SUITE_ID, b"", b"info_hash", info)
    secret = extract(SUITE_ID, shared, b"secret", b"")
    key, nonce = (expand(SUITE_ID, secret, label, context, n) for label, n in ((b"key", 32), (b"base_nonce", 12)))
    named = {"shared_secret": shared, "key_schedule_context": context, "secret": secret, "key": key}
    return {**named, "base_nonce": nonce}


def receiver_key() -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(HPKE["skRm"])


def test_the_second_opinion_on_hpke_is_the_published_one() -> None:
    dh = receiver_key().exchange(X25519PublicKey.from_public_bytes(HPKE["enc"]))
    made = schedule(dh, HPKE["enc"], HPKE["pkRm"], HPKE["info"])
    assert made == {name: HPKE[name] for name in made}
    for message in MESSAGES:
        nonce = int.from_bytes(made["base_nonce"], "big") ^ message["sequence"]
        opened = AESGCM(made["key"]).decrypt(
            nonce.to_bytes(12, "big"), bytes.fromhex(message["ct"]), bytes.fromhex(message["aad"])
        )
        assert opened == bytes.fromhex(message["pt"]), f"sequence number {message['sequence']}"


def test_our_hpke_suite_opens_the_published_message() -> None:
    first = MESSAGES[0]
    sealed, aad = HPKE["enc"] + bytes.fromhex(first["ct"]), bytes.fromhex(first["aad"])
    # One message per key is sequence number 0; the public call has no associated data, so the one beneath it is asked.
    opened = openssl.hpke._decrypt_with_aad(SUITE, sealed, receiver_key(), HPKE["info"], aad)
    assert opened == bytes.fromhex(first["pt"])
    with pytest.raises(InvalidTag):
        openssl.hpke._decrypt_with_aad(SUITE, sealed, receiver_key(), HPKE["info"] + b"\0", aad)


@pytest.mark.parametrize("size", [0, 1, 32, 5000])
def test_our_hpke_suite_and_the_second_opinion_open_what_the_other_seals(size: int) -> None:
    plain, info, receiver = bytes(size), b"session, round, sender, receiver", HPKE["pkRm"]
    sealed = SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(receiver), info=info)
    enc = sealed[:32]
    made = schedule(receiver_key().exchange(X25519PublicKey.from_public_bytes(enc)), enc, receiver, info)
    assert AESGCM(made["key"]).decrypt(made["base_nonce"], sealed[32:], b"") == plain

    sender = X25519PrivateKey.generate()
    enc = sender.public_key().public_bytes_raw()
    made = schedule(sender.exchange(X25519PublicKey.from_public_bytes(receiver)), enc, receiver, info)
    answer = enc + AESGCM(made["key"]).encrypt(made["base_nonce"], plain, b"")
    assert SUITE.decrypt(answer, receiver_key(), info=info) == plain
    for wrong in (answer[:-1], bytes(32) + answer[32:], answer[:31], b""):
        with pytest.raises((InvalidTag, ValueError)):
            SUITE.decrypt(wrong, receiver_key(), info=info)
