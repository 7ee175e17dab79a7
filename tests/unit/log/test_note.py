"""Notes, checkpoints and cosignatures: the specifications' own examples, and the one form that is read."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.note import (
    LOG,
    WITNESS,
    Checkpoint,
    Note,
    Verifier,
    cosignature_message,
    cosignatures,
    read_checkpoint,
    read_note,
    verify_log,
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
