"""Whose signatures of a checkpoint count: those of the log's own key and of known witnesses, each once."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log import note as notes
from oms_core.log.note import (
    LOG,
    WITNESS,
    Note,
    Signature,
    Verifier,
    cosignature_message,
    cosignatures,
    read_note,
    read_signatures,
    verify_log,
    with_signatures,
    write_note,
)
from tests.logs import LOG_KEY, NOW, ORIGIN, VERIFIERS, WITNESSES, Signer, Tree, entries, signed

# A head of a public staging log, with lines of kinds that are not read here, and keys of the log and its witnesses.
PUBLIC = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev \
zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev \
ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden \
2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 \
pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de \
2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu \
Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""
PUBLIC_LOG = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
PUBLIC_WITNESSES = (
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
)
CHECKPOINT = Tree(entries(20)).checkpoint()
BODY = CHECKPOINT.body()
NOTE = signed(CHECKPOINT, *WITNESSES[:4])
TEXT = write_note(NOTE)


def test_a_public_logs_head_verifies_with_its_witnesses_cosignatures() -> None:
    """None of these was made by us."""
    note = read_note(PUBLIC)
    assert write_note(note) == PUBLIC
    assert verify_log(note, Verifier.parse(PUBLIC_LOG)).size == 1432088532
    witnesses = [Verifier.parse(one) for one in PUBLIC_WITNESSES]
    times = cosignatures(note, witnesses)
    assert set(times) == {one.name for one in witnesses}
    assert set(times.values()) == {0x6A122120}
    changed = read_note(PUBLIC.replace("1432088532", "1432088533"))
    for check in (lambda: verify_log(changed, Verifier.parse(PUBLIC_LOG)), lambda: cosignatures(changed, witnesses)):
        with pytest.raises(ProofInvalid):
            check()


def weak_keys() -> list[bytes]:
    """All encodings of the eight points of small order, canonical or not, with either sign."""
    p = 2**255 - 19
    eighth = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
    d = -121665 * pow(121666, -1, p) % p
    assert (2 * eighth**2 - 1 + d * eighth**4) % p == 0  # doubled, it has y = 0
    heights = [0, 1, p - 1, p, p + 1, eighth, p - eighth]
    return [(y | sign << 255).to_bytes(32, "little") for y in heights for sign in (0, 1)]


def test_a_key_under_which_anybody_can_sign_is_refused() -> None:
    """Such a key verifies what nobody signed, which the first assertion shows of the library."""
    identity = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"anything")
    for key in weak_keys():
        with pytest.raises(Malformed):
            Verifier("witness.example/weak", key, WITNESS)
    for kind, key in ((0x02, VERIFIERS[0].key), (0x06, VERIFIERS[0].key), (LOG, bytes(31)), (LOG, b"")):
        with pytest.raises(Malformed):
            Verifier("a", key, kind)


def test_a_checkpoint_counts_under_the_logs_own_key_and_origin_alone() -> None:
    other = Signer("another.example/log", LOG)
    witness_as_log = Signer(ORIGIN, WITNESS)
    with pytest.raises(ProofInvalid) as caught:
        verify_log(NOTE, other.verifier, witness_as_log.verifier)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
    with pytest.raises(ProofInvalid):
        verify_log(Note(BODY, (other.log_line(BODY),)), other.verifier)  # its key, over another log's checkpoint
    with pytest.raises(ProofInvalid):
        verify_log(Note(BODY, NOTE.signatures[1:]), LOG_KEY.verifier)
    with pytest.raises(ProofInvalid):
        verify_log(NOTE)


def test_a_log_may_have_a_new_key_beside_the_old_one() -> None:
    new = Signer(ORIGIN, LOG, seed="new")
    both = with_signatures(NOTE, [new.log_line(BODY)])
    for keys in ([LOG_KEY.verifier], [new.verifier], [LOG_KEY.verifier, new.verifier]):
        assert verify_log(both, *keys) == CHECKPOINT
    assert verify_log(signed(CHECKPOINT, log=new), LOG_KEY.verifier, new.verifier) == CHECKPOINT


def test_every_line_of_a_known_key_has_to_verify() -> None:
    bad = replace(NOTE.signatures[0], data=bytes(64))
    for lines in ((bad, *NOTE.signatures), (*NOTE.signatures, bad)):
        with pytest.raises(ProofInvalid):
            verify_log(Note(BODY, lines), LOG_KEY.verifier)


def test_unknown_lines_are_passed_over_also_if_they_share_a_name_or_an_id() -> None:
    own = NOTE.signatures[0]
    strangers = (
        Signature(own.name, b"\x00\x00\x00\x01", bytes(64)),
        Signature("stranger", own.key_id, bytes(64)),
        Signature(VERIFIERS[4].name, b"\x00\x00\x00\x01", bytes(72)),
        Signature("stranger", VERIFIERS[4].key_id, b"?"),
    )
    note = read_note(write_note(Note(BODY, (*strangers, *NOTE.signatures))))
    assert verify_log(note, LOG_KEY.verifier) == CHECKPOINT
    assert len(cosignatures(note, VERIFIERS)) == 4


def test_a_cosignature_is_of_its_time_its_text_and_its_key() -> None:
    witness = WITNESSES[0]
    good = witness.cosign(BODY)
    other = CHECKPOINT.body().replace("\n20\n", "\n21\n")
    for bad in (
        replace(good, data=(NOW + 1).to_bytes(8, "big") + good.data[8:]),
        replace(good, data=bytes(8) + good.data[8:]),
        replace(good, data=b"\xff" * 8 + good.data[8:]),
        replace(good, data=good.data[8:]),
        replace(good, data=good.data + b"\x00"),
        replace(good, data=good.data[:8] + WITNESSES[1].cosign(BODY).data[8:]),
        replace(good, data=witness.cosign(other).data),
        replace(good, data=good.data[:8] + witness.key.sign(BODY.encode())),
    ):
        with pytest.raises(ProofInvalid):
            cosignatures(Note(BODY, (bad,)), VERIFIERS)


def test_a_bit_of_any_signature_or_of_the_text_makes_the_note_invalid() -> None:
    raw = TEXT.encode()
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        try:
            note = read_note(changed)
            verify_log(note, LOG_KEY.verifier)
            count = len(cosignatures(note, VERIFIERS))
        except (Malformed, ProofInvalid):
            continue
        assert count == 3  # the name or id of a witness was hit, which makes it a stranger


def test_no_count_grows_by_a_log_key_a_second_name_or_a_second_line() -> None:
    twin = Signer("witness.example/twin", WITNESS, seed=WITNESSES[0].verifier.name)
    assert twin.verifier.key == WITNESSES[0].verifier.key
    note = Note(BODY, (WITNESSES[0].cosign(BODY), twin.cosign(BODY), WITNESSES[0].cosign(BODY, NOW + 5)))
    assert cosignatures(note, [*VERIFIERS, twin.verifier]) == {WITNESSES[0].verifier.name: NOW + 5}
    renewed = Signer(WITNESSES[0].verifier.name, WITNESS, seed="renewed")
    assert len(cosignatures(with_signatures(note, [renewed.cosign(BODY)]), [*VERIFIERS, renewed.verifier])) == 1
    assert cosignatures(NOTE, [LOG_KEY.verifier]) == {}


def test_later_cosignatures_than_allowed_do_not_count() -> None:
    note = with_signatures(signed(CHECKPOINT, *WITNESSES[:2]), [WITNESSES[2].cosign(BODY, NOW + 100)])
    assert set(cosignatures(note, VERIFIERS, until=NOW + 99).values()) == {NOW}
    assert len(cosignatures(note, VERIFIERS, until=NOW + 100)) == 3


def test_only_checkpoints_are_signed_and_cosigned() -> None:
    for body in ("anything\n", BODY + "more\n", cosignature_message(BODY, NOW).decode()):
        with pytest.raises(Malformed):
            notes.log_message(body)
        with pytest.raises(Malformed):
            cosignature_message(body, NOW)
    with pytest.raises(Malformed):
        cosignatures(Note("anything\n", NOTE.signatures), VERIFIERS)
    for at in (0, -1, 1 << 63):
        with pytest.raises(Malformed):
            cosignature_message(BODY, at)


def test_lines_are_made_for_keys_and_signatures_of_their_kind() -> None:
    signature = Ed25519PrivateKey.generate().sign(b"")
    for make in (
        lambda: notes.log_signature(VERIFIERS[0], signature),
        lambda: notes.cosignature(LOG_KEY.verifier, NOW, signature),
        lambda: notes.log_signature(LOG_KEY.verifier, signature[:63]),
        lambda: notes.cosignature(VERIFIERS[0], 0, signature),
    ):
        with pytest.raises(Malformed):
            make()


def test_a_witness_answers_with_lines_that_join_the_note() -> None:
    answer = WITNESSES[4].cosign(BODY).line() + Signature("stranger", b"abcd", b"x").line()
    joined = with_signatures(NOTE, read_signatures(answer))
    assert len(cosignatures(joined, VERIFIERS)) == 5
    assert with_signatures(joined, read_signatures(answer)) == joined
    assert b64decode(answer.split(" ")[2].split("\n")[0])[:4] == VERIFIERS[4].key_id
