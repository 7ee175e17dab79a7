"""Notes, checkpoints and cosignatures: the specifications' own examples, and the one form that is read."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log import note as notes
from oms_core.log.note import (
    LOG,
    WITNESS,
    Checkpoint,
    Note,
    Signature,
    Verifier,
    cosignature_message,
    cosignatures,
    read_checkpoint,
    read_note,
    read_signatures,
    verify_log,
    with_signatures,
    write_note,
)
from tests.logs import LOG_KEY, NOW, ORIGIN, VERIFIERS, WITNESSES, Signer, Tree, entries, signed

# The example of C2SP signed-note.
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# The example of C2SP tlog-cosignature; its keys are not published.
SOFA_BODY = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFA = (
    SOFA_BODY + "\n— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
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


def test_the_specifications_note_verifies_under_its_key() -> None:
    verifier = Verifier.parse(FOO)
    assert (verifier.name, verifier.kind, verifier.key_id.hex()) == ("example.com/foo", LOG, "530d903a")
    assert verifier.vkey() == FOO
    note = read_note(FOO_NOTE)
    assert write_note(note) == FOO_NOTE
    [line] = note.by(verifier)
    verifier.verify(line.data, note.body.encode())
    with pytest.raises(ProofInvalid):
        verifier.verify(line.data, note.body.encode() + b" ")


def test_the_specifications_checkpoint_reads_and_writes() -> None:
    note = read_note(SOFA)
    assert write_note(note) == SOFA
    checkpoint = read_checkpoint(note.body)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.body() == note.body == SOFA_BODY
    assert int.from_bytes(note.signatures[1].data[:8], "big") == 1679315147


def test_the_cosigned_message_is_the_specifications() -> None:
    assert cosignature_message(SOFA_BODY, 1679315147).decode() == (
        "cosignature/v1\ntime 1679315147\n"
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


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


def test_a_note_reads_back_as_it_was_written() -> None:
    assert read_note(TEXT) == read_note(TEXT.encode()) == NOTE
    assert verify_log(NOTE, LOG_KEY.verifier) == CHECKPOINT
    assert cosignatures(NOTE, VERIFIERS) == {one.verifier.name: NOW for one in WITNESSES[:4]}


def test_the_last_empty_line_parts_the_text_from_its_signatures() -> None:
    line = NOTE.signatures[0]
    for body in ("a\n\nb\n", "\n", "\n\n", "a\n\n"):
        assert read_note(write_note(Note(body, (line,)))) == Note(body, (line,))


@pytest.mark.parametrize(
    "body",
    [
        BODY + "an extension\n",
        BODY.removesuffix("\n"),
        BODY.replace("\n20\n", "\n020\n"),
        BODY.replace("\n20\n", "\n+20\n"),
        BODY.replace("\n20\n", "\n 20\n"),
        BODY.replace("\n20\n", "\n2_0\n"),
        BODY.replace("\n20\n", "\n-1\n"),
        BODY.replace("\n20\n", "\n٢\n"),
        BODY.replace("\n20\n", f"\n{1 << 63}\n"),
        BODY.replace("\n20\n", "\n" + "9" * 5000 + "\n"),
        BODY.replace("\n20\n", "\n\n"),
        BODY.removeprefix(ORIGIN),
        BODY.replace("=", ""),
        BODY.replace("=\n", "==\n"),
        BODY.replace("\n20\n", "\n20\nAA" + "\n"),
        f"{ORIGIN}\n20\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n20\n{b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n20\n-_{b64encode(bytes(32)).decode()[2:]}\n",
        f"{ORIGIN}\n20\n{b64encode(bytes(32)).decode().replace('A=', 'B=')}\n",
        f"{ORIGIN}\t\n20\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\x85\n20\n{b64encode(bytes(32)).decode()}\n",
        BODY.replace("\n", "\r\n"),
        "",
        "\n\n\n",
    ],
)
def test_a_checkpoint_is_read_in_its_one_form_alone(body: str) -> None:
    with pytest.raises(Malformed):
        read_checkpoint(body)


def line(name: str = "a", data: bytes = bytes(68)) -> str:
    return f"— {name} {b64encode(data).decode()}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        "text\n" + line(),
        "text\n\n" + line().removesuffix("\n"),
        "text\n\n" + line() + "\n",
        "text\n\n" + line().replace("— ", "- "),
        "text\n\n" + line().replace("— ", "—"),
        "text\n\n" + line().replace("— ", "—  "),
        "text\n\n" + line().replace("— ", "— — "),
        "text\n\n" + line().replace("=\n", "\n"),
        "text\n\n" + line().replace("=\n", "= \n"),
        "text\n\n" + line().replace("A=\n", "B=\n"),
        "text\n\n" + line("a+b"),
        "text\n\n" + line(""),
        "text\n\n" + line("a\u00a0b"),
        "text\n\n" + line("a\u2028b"),
        "text\n\n" + line("a\x7fb"),
        "text\n\n" + line("a\tb"),
        "text\n\n" + line(data=bytes(4)),
        "text\n\n" + line(data=b""),
        "te\x00xt\n\n" + line(),
        "te\x1bxt\n\n" + line(),
        "text\r\n\r\n" + line(),
        "te\ud800xt\n\n" + line(),
        "text\n\n— a\n",
        "text\n\n— a \n",
    ],
)
def test_a_note_is_read_in_its_one_form_alone(text: str) -> None:
    with pytest.raises(Malformed):
        read_note(text)


def test_a_note_is_utf8_of_limited_size_with_at_most_32_signatures() -> None:
    with pytest.raises(Malformed):
        read_note(b"\xff\n\n" + line().encode())
    assert len(read_note("text\n\n" + line() * 32).signatures) == 32
    for text, limit in (("text\n\n" + line() * 33, 1 << 14), (TEXT, 100), ("é" * 60 + "\n\n" + line(), 200)):
        with pytest.raises(Malformed) as caught:
            read_note(text, limit)
        assert caught.value.reason is Reason.TOO_LARGE


def test_what_would_not_read_back_is_not_written() -> None:
    good = NOTE.signatures[0]
    for bad in (
        Note("no newline", (good,)),
        Note("", (good,)),
        Note("text\n", ()),
        Note("text\n", (replace(good, name="a b"),)),
        Note("text\n", (replace(good, key_id=b"abc"),)),
        Note("text\n", (replace(good, data=b""),)),
        Note("a\x00\n", (good,)),
    ):
        with pytest.raises(Malformed):
            write_note(bad)


@pytest.mark.parametrize(
    "bad", [("", 1, bytes(32)), ("a\nb", 1, bytes(32)), ("a", -1, bytes(32)), ("a", 1 << 63, bytes(32)), ("a", 1, b"")]
)
def test_no_checkpoint_is_made_that_has_no_text(bad: tuple[str, int, bytes]) -> None:
    with pytest.raises(Malformed):
        Checkpoint(*bad)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        FOO.replace("530d903a", "530d903b"),
        FOO.replace("530d903a", "530D903A"),
        FOO.replace("foo", "bar"),
        FOO.replace("foo", "f oo"),
        FOO + "=",
        FOO.replace("+Aeky", "+Beky"),
        "example.com/foo+530d903a+",
        FOO[:-4],
    ],
)
def test_a_keys_text_is_read_in_its_one_form_alone(text: str) -> None:
    with pytest.raises(Malformed):
        Verifier.parse(text)


def test_every_key_reads_back_from_its_text() -> None:
    for one in (LOG_KEY.verifier, *VERIFIERS):
        assert Verifier.parse(one.vkey()) == one
    twice = [Signer("same", kind).verifier.key_id for kind in (LOG, WITNESS)]
    assert twice[0] != twice[1]


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
        cosignatures(read_note(FOO_NOTE), VERIFIERS)
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
