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
from oms_core.protocol.envelope import Channel
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.judge import Verdict
from oms_core.protocol.packets import Resharing, SessionSpec, SignedHello, check_spec
from tests.parties import SoftIdentity, channels, identity, roster, start
from tests.protocol.runs import tried

ALL = (1, 2, 3)


def hellos(made: dict[int, Channel]) -> dict[int, bytes]:
    return {i: channel.hello() for i, channel in made.items()}


def _resigned(data: bytes, signer: int = 3, **values: Any) -> bytes:
    hello = replace(decode(SignedHello, data).hello, **values)
    return encode(SignedHello(hello, identity(signer).sign("hello", encode(hello))))


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


GOOD = X25519PrivateKey.generate().public_key().public_bytes_raw()
UNUSABLE: dict[str, dict[str, Any]] = {
    "no nonce": {"nonce": b""},
    "long nonce": {"nonce": bytes(33)},
    "no keys": {"keys": ()},
    "no key for me": {"keys": ((2, GOOD),)},
    "no key for another": {"keys": ((1, GOOD),)},
    "a key for itself": {"keys": ((1, GOOD), (2, GOOD), (3, GOOD))},
    "a key for nobody": {"keys": ((1, GOOD), (2, GOOD), (4, GOOD))},
    "keys out of order": {"keys": ((2, GOOD), (1, GOOD))},
    "a key twice": {"keys": ((1, GOOD), (1, GOOD))},
    "a key of small order": {"keys": ((1, bytes(32)), (2, GOOD))},
    "a key of small order for another": {"keys": ((1, GOOD), (2, bytes(32)))},
    "a long key": {"keys": ((1, GOOD + b"0"), (2, GOOD))},
    "an empty key": {"keys": ((1, b""), (2, GOOD))},
}


@pytest.mark.attack
@pytest.mark.parametrize("deed", UNUSABLE)
def test_a_signed_hello_that_cannot_be_used_convicts_its_signer(deed: str) -> None:
    made = channels(ALL)
    said = hellos(made)
    for i in (1, 2):
        with pytest.raises(ProtocolAbort) as aborted:
            made[i].start({**said, 3: _resigned(said[3], **UNUSABLE[deed])})
        [blame] = aborted.value.blames
        assert tried(made[i], aborted.value) == [Verdict(3, "hello", blame.reason)]


@pytest.mark.attack
def test_two_signed_hellos_that_cannot_be_used_convict_both_signers() -> None:
    made = channels(ALL)
    said = hellos(made)
    with pytest.raises(ProtocolAbort) as aborted:
        made[1].start({**said, 2: _resigned(said[2], 2, nonce=b""), 3: _resigned(said[3], keys=())})
    assert aborted.value.culprits == {2, 3}
    assert {(v.culprit, v.step) for v in tried(made[1], aborted.value)} == {(2, "hello"), (3, "hello")}


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
    "path": (1,),
    "digest": b"d" * 32,
    "presignature": b"p" * 32,
    "resharing": Resharing((1, 2), (1, 2, 3), 2, 1, b"a" * 32),
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
    new = OTHER["resharing"]
    others = {"dealers": (1, 3), "receivers": (2, 3), "threshold": 3, "epoch": 2, "aux": b"b" * 32}
    assert set(others) == {field.name for field in fields(Resharing)}
    bent = [replace(new, **{name: value}) for name, value in others.items() if name != "receivers"]
    bent.append(replace(new, dealers=(1, 2, 3), receivers=(2, 3)))
    assert len(found | {ssid(resharing=one) for one in bent}) == len(found) + len(bent)


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


@pytest.mark.covers("R27", "P32")
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
        {"digest": bytes(31)},
        {"presignature": bytes(33)},
        *(
            {"resharing": replace(OTHER["resharing"], **values)}
            for values in (
                {"dealers": (1,)},
                {"dealers": (2, 1)},
                {"dealers": (1, 1)},
                {"dealers": (0, 1)},
                {"dealers": (1, 2, 4)},
                {"receivers": (1, 2)},
                {"receivers": (3, 2, 1)},
                {"receivers": (1, 2, 3, 3)},
                {"receivers": (1, 2, 3, 4)},
                {"threshold": 1},
                {"threshold": 4},
                {"epoch": 0},
                {"aux": b""},
            )
        ),
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
