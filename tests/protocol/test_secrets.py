"""What a party knows and others must not: it has no repr, is not pickled, and is checked when it comes back."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import G, Q
from oms_core.crypto.params import L112, TOY
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, ProtocolAbort, Reason
from oms_core.protocol.alert import Mask, Secrets
from oms_core.protocol.keygen import keygen
from oms_core.protocol.rounds import Done, Incoming, Outgoing, Record, resume
from oms_core.protocol.shares import KeyMaterial, Presignature, check_material, moduli
from tests.parties import arithmetic, at, key, roster, sessions
from tests.primes import paillier
from tests.protocol.runs import ALL, LIAR, run_presign


def presignature() -> Presignature:
    made: Presignature = run_presign(parties=(1, 2)).results[1]
    return made


def shown(value: object) -> str:
    return f"{value!r} {value} {value:} {[value]}"


@pytest.mark.covers("R28")
def test_key_material_shows_no_secret() -> None:
    material = key(3, 2)[1]
    p, q, p_hat, q_hat = material.aux.primes
    secrets = [material.share.secret, p, q, p_hat, q_hat, material.aux.lam]
    for holder in (material, material.share, material.aux, arithmetic(3, 2, 1), Done(material), [material]):
        assert not any(str(int(s)) in shown(holder) or f"{int(s):x}" in shown(holder) for s in secrets)


@pytest.mark.covers("R28")
def test_a_presignature_shows_no_secret() -> None:
    made = presignature()
    (k, chi) = made.secret[0]
    assert str(k) not in shown(made)
    assert str(chi) not in shown(Done(made))


def test_what_is_said_in_secret_does_not_show() -> None:
    word = b"a secret word"
    out = Outgoing("step", b"public", {2: word}, True, 100)
    record = Record(sessions(ALL)[1], directs={"step": {2: word}})
    secrets = Secrets(paillier(TOY, 1), {}, {}, 4714, 4715)
    for holder in (out, Incoming(b"public", word), record, Done(word), Mask(4711, 4712, 4713), secrets):
        assert "secret word" not in shown(holder)
        assert "471" not in shown(holder)


@pytest.mark.parametrize(
    "holder",
    [
        lambda: key(3, 2)[1],
        lambda: key(3, 2)[1].share,
        lambda: key(3, 2)[1].aux,
        lambda: presignature(),
        lambda: arithmetic(3, 2, 1),
        lambda: arithmetic(3, 2, 1).paillier,
        lambda: arithmetic(3, 2, 1).pedersen,
    ],
    ids=["material", "share", "aux", "presignature", "moduli", "paillier", "pedersen"],
)
@pytest.mark.covers("R28")
def test_a_secret_is_neither_pickled_nor_copied(holder: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(holder())
    with pytest.raises(TypeError):
        copy.deepcopy(holder())


@pytest.mark.attack
@pytest.mark.covers("R28")
def test_an_abort_shows_no_secret() -> None:
    outcome = run_presign(
        {LIAR: at("presign.3", lambda turn: replace(turn.message, delta=(turn.message.delta + 1) % Q))}
    )
    error = outcome.errors[1]
    assert isinstance(error, ProtocolAbort)
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(error.details)
    for secret in (key(3, 2)[1].share.secret, *key(3, 2)[1].aux.primes):
        assert str(int(secret)) not in text
    assert "presign.nonce-alert" in text


@pytest.mark.covers("R28")
def test_a_running_protocol_shows_no_secret() -> None:
    protocol = keygen(sessions(ALL)[1], b"k" * 32, 2, roster(ALL))
    resume(protocol)
    memory = protocol.gi_frame.f_locals
    assert str(memory["f"].constant) not in shown(memory["f"]) + shown(protocol)


# Stored material


def test_stored_material_reads_back() -> None:
    material = key(3, 2)[1]
    again = decode(KeyMaterial, encode(material))
    assert again == material
    assert again.epoch_hash == material.epoch_hash
    check_material(again)


def _share(**values: Any) -> Callable[[KeyMaterial], KeyMaterial]:
    return lambda m: replace(m, share=replace(m.share, **values))


def _aux(**values: Any) -> Callable[[KeyMaterial], KeyMaterial]:
    return lambda m: replace(m, aux=replace(m.aux, **values))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: _share(secret=m.share.secret + 1)(m),
        lambda m: _share(index=2)(m),
        lambda m: _share(index=4)(m),
        lambda m: _share(public_shares=m.share.public_shares[1:])(m),
        lambda m: _share(public_shares=tuple((j, X + G) for j, X in m.share.public_shares))(m),
        lambda m: _share(roster=m.share.roster[:2])(m),
        lambda m: _aux(index=2)(m),
        lambda m: _aux(primes=key(3, 2)[2].aux.primes)(m),
        lambda m: _aux(t=m.aux.t + 1)(m),
        lambda m: _aux(lam=m.aux.lam + 1)(m),
        lambda m: _aux(public=m.aux.public[:2])(m),
        lambda m: _aux(public=m.aux.public[1:])(m),
        lambda m: _aux(
            public=tuple(replace(p, pedersen=PedersenPublic(15, 2, 4)) for p in m.aux.public),
        )(m),
    ],
)
def test_stored_material_that_does_not_fit_together_is_refused(spoil: Callable[[KeyMaterial], KeyMaterial]) -> None:
    with pytest.raises(LocalError) as refused:
        check_material(spoil(key(3, 2)[1]))
    assert refused.value.reason == Reason.STORE_CORRUPT


def test_stored_material_is_used_at_level_112_or_128_only() -> None:
    toy = key(3, 2)[1]
    with pytest.raises(Malformed):
        moduli(toy)
    assert toy.level == TOY.name
    with pytest.raises(LocalError):
        moduli(replace(toy, level="L112"))
    full = key(3, 2, L112)[1]
    assert moduli(full).level == L112
    for spoiled in (replace(full, level="L128"), _share(index=2)(full)):
        with pytest.raises(LocalError):
            moduli(spoiled)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: _share(key_id=bytes(32))(m),
        lambda m: _share(epoch=1)(m),
        lambda m: _share(threshold=3)(m),
        lambda m: _share(public_key=m.share.public_key + G)(m),
        lambda m: _share(rid=bytes(32))(m),
        lambda m: _share(chain_code=bytes(32))(m),
        lambda m: _share(roster=m.share.roster[::-1])(m),
        lambda m: _aux(rho=bytes(32))(m),
        lambda m: _aux(public=m.aux.public[::-1])(m),
    ],
)
def test_the_epoch_hash_depends_on_everything_public(change: Callable[[KeyMaterial], KeyMaterial]) -> None:
    material = key(3, 2)[1]
    assert change(material).epoch_hash != material.epoch_hash


def test_the_epoch_hash_depends_on_nothing_secret() -> None:
    assert len({material.epoch_hash for material in key(3, 2).values()}) == 1
