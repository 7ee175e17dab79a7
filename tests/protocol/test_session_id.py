"""Hellos, the spec and the session id that they make: it is another one if anything is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.crypto.params import L112, TOY
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, ProofInvalid, ProtocolAbort, Reason, Unattributed
from oms_core.protocol import envelope
from oms_core.protocol.envelope import Channel, SessionSpec, SignedHello, check_spec, verify_identity
from tests.parties import SoftIdentity, channels, identity, roster, start

ALL = (1, 2, 3)


def hellos(made: dict[int, Channel]) -> dict[int, bytes]:
    return {i: channel.hello() for i, channel in made.items()}


def _resigned(data: bytes, **values: Any) -> bytes:
    hello = replace(decode(SignedHello, data).hello, **values)
    return encode(SignedHello(hello, identity(3).sign("hello", encode(hello))))


@pytest.mark.attack
@pytest.mark.parametrize(
    "bend",
    [
        lambda said: {1: said[1], 2: said[2]},
        lambda said: {**said, 4: said[3]},
        lambda said: {**said, 2: said[3], 3: said[2]},
        lambda said: {**said, 1: said[2]},
        lambda said: {**said, 3: b""},
        lambda said: {**said, 3: said[3][:-1] + bytes([said[3][-1] ^ 1])},
        lambda said: {**said, 3: hellos(channels(ALL))[3]},
        lambda said: {**said, 1: hellos(channels(ALL))[1]},
        lambda said: {**said, 3: _resigned(said[3], sender=2)},
        lambda said: {**said, 3: _resigned(said[3], spec=bytes(32))},
    ],
    ids=["lost", "added", "swapped", "mine replaced", "empty", "changed", "other session", "mine elsewhere", "2", "3"],
)
def test_hellos_that_do_not_belong_here_name_nobody(bend: Callable[[dict[int, bytes]], dict[int, bytes]]) -> None:
    made = channels(ALL)
    with pytest.raises(Unattributed):
        made[1].start(bend(hellos(made)))


@pytest.mark.attack
@pytest.mark.parametrize(
    "values",
    [{"nonce": b""}, {"nonce": bytes(33)}, {"kem_public": b""}, {"kem_public": bytes(32)}, {"kem_public": bytes(33)}],
    ids=["no nonce", "long nonce", "no key", "a key of small order", "long key"],
)
def test_a_signed_hello_that_cannot_be_used_names_its_signer(values: dict[str, bytes]) -> None:
    made = channels(ALL)
    said = hellos(made)
    with pytest.raises(ProtocolAbort) as aborted:
        made[1].start({**said, 3: _resigned(said[3], **values)})
    assert aborted.value.culprits == {3}


def test_a_session_starts_once_and_not_before_the_hellos() -> None:
    made = channels(ALL)
    with pytest.raises(Malformed):
        _ = made[1].session
    start(made)
    with pytest.raises(Malformed):
        made[1].start(hellos(made))


OTHER: dict[str, Any] = {
    "session_id": b"t" * 32,
    "protocol": "other",
    "key_id": b"l" * 32,
    "epoch": 1,
    "epoch_hash": b"e" * 32,
    "threshold": 3,
    "parties": (1, 2, 3, 4),
    "subject": b"t" * 32,
}


@pytest.fixture
def without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sealing keys and nonces are the same, so that the session id depends on the rest alone."""
    key = X25519PrivateKey.generate()
    monkeypatch.setattr(envelope.secrets, "token_bytes", lambda n: b"\x01" * n)
    monkeypatch.setattr(envelope, "X25519PrivateKey", type("Fixed", (), {"generate": staticmethod(lambda: key)}))


def ssid(**changes: Any) -> bytes:
    made = channels(changes.pop("parties", ALL), **{"session_id": b"s" * 32, **changes})
    return start(made)[1].ssid


@pytest.mark.usefixtures("without_chance")
def test_the_session_id_depends_on_every_field_of_the_spec() -> None:
    assert {field.name for field in fields(SessionSpec)} == {*OTHER, "level"}
    assert ssid() == ssid()
    found = {ssid()} | {ssid(**{name: value}) for name, value in OTHER.items()}
    assert len(found) == 1 + len(OTHER)


@pytest.mark.usefixtures("without_chance")
def test_the_session_id_depends_on_the_level_and_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_level(level: Any) -> bytes:
        spec = replace(channels(ALL, session_id=b"s" * 32)[1].spec, level=level.name)
        return start({i: Channel(spec, level, identity(i), roster(ALL)) for i in ALL})[1].ssid

    found = {at_level(level) for level in (TOY, L112, replace(TOY, ell_prime=561), replace(TOY, prime_bits=520))}
    assert len(found) == 4


@pytest.mark.usefixtures("without_chance")
def test_the_session_id_depends_on_every_identity_of_the_roster() -> None:
    spec = channels(ALL, session_id=b"s" * 32)[1].spec

    def with_identities(who: dict[int, SoftIdentity]) -> bytes:
        keys = {i: one.public for i, one in who.items()}
        return start({i: Channel(spec, TOY, who[i], keys) for i in ALL})[1].ssid

    known = {i: identity(i) for i in ALL}
    assert len({with_identities(known), *(with_identities({**known, i: SoftIdentity(i)}) for i in ALL)}) == 4


def test_the_session_id_depends_on_every_hello() -> None:
    assert ssid() != ssid()  # nothing but the nonces and sealing keys differs
    made = channels(ALL)
    others = {**made, 3: Channel(made[3].spec, TOY, identity(3), roster(ALL))}
    one = copy.copy(made[1])
    assert one.start(hellos(made)).ssid != made[1].start(hellos(others)).ssid


def test_hellos_mean_one_spec() -> None:
    made = channels(ALL, session_id=b"s" * 32)
    other = channels(ALL, session_id=b"s" * 32, subject=b"t" * 32)
    with pytest.raises(Unattributed):
        made[1].start({**hellos(other), 1: made[1].hello()})


@pytest.mark.parametrize(
    "values",
    [
        {"parties": (2, 1, 3)},
        {"parties": (1, 1, 2)},
        {"parties": (0, 1, 2)},
        {"parties": (1, 2, 2**16)},
        {"parties": (1,)},
        {"parties": ()},
        {"threshold": 1},
        {"threshold": 4},
        {"session_id": b""},
        {"key_id": bytes(31)},
        {"subject": bytes(33)},
        {"epoch": -1},
        {"epoch_hash": bytes(31)},
        {"protocol": "x" * 33},
    ],
)
def test_a_spec_out_of_shape_opens_no_channel(values: dict[str, Any]) -> None:
    spec = replace(channels(ALL)[1].spec, **values)
    with pytest.raises(Malformed):
        check_spec(spec)
    with pytest.raises(Malformed):
        Channel(spec, TOY, identity(1), roster((1, 2, 3)))


def test_a_channel_is_for_a_member_with_its_own_key_at_the_level_of_the_spec() -> None:
    spec = channels(ALL)[1].spec
    for level, who, keys in (
        (L112, identity(1), roster(ALL)),
        (TOY, identity(4), roster((1, 2, 3, 4))),
        (TOY, identity(1), roster((1, 2))),
        (TOY, SoftIdentity(1), roster(ALL)),
        (TOY, identity(1), {**roster(ALL), 3: identity(2).public}),
    ):
        with pytest.raises(Malformed):
            Channel(spec, level, who, keys)


def test_an_identity_signs_for_one_domain_only() -> None:
    signature = identity(1).sign("hello", b"message")
    verify_identity(identity(1).public, "hello", b"message", signature)
    for public, domain, message in (
        (identity(1).public, "round", b"message"),
        (identity(1).public, "hello", b"massage"),
        (identity(2).public, "hello", b"message"),
        (b"", "hello", b"message"),
    ):
        with pytest.raises(ProofInvalid) as refused:
            verify_identity(public, domain, message, signature)
        assert refused.value.reason == Reason.SIGNATURE_INVALID
