"""What a witness decides, in the order and with the codes of C2SP tlog-witness."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason
from oms_core.log.note import LOG, WITNESS, Checkpoint, Note, Verifier, write_note
from oms_core.log.tree import EMPTY_ROOT
from oms_core.log.witness import (
    AddCheckpoint,
    Answer,
    Head,
    WitnessRefused,
    decide,
    read_request,
    write_request,
)
from tests.logs import LOG_KEY, NOW, ORIGIN, WITNESSES, Signer, Tree, entries, request, signed

TREE = Tree(entries(300))
OTHER = Tree([*entries(150), *entries(150, "other")])
LOG_KEYS = [LOG_KEY.verifier]
# The example of C2SP tlog-witness, without its second signature line.
EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def head(size: int, tree: Tree = TREE) -> Head:
    return Head(size, tree.root(size))


def answer(made: AddCheckpoint, at: Head | None, origin: str = ORIGIN, keys: list[Verifier] = LOG_KEYS) -> Answer:
    try:
        checkpoint = decide(made, at, origin, keys)
    except WitnessRefused as refused:
        stands_at, code = refused.size, refused.answer
    else:
        assert checkpoint.body() == made.note.body
        return Answer.OK
    assert stands_at == (at.size if at else 0)
    return code


def test_the_specifications_request_reads_and_writes() -> None:
    read = read_request(EXAMPLE)
    assert (read.old, len(read.proof)) == (20852014, 4)
    assert write_request(read) == EXAMPLE


@pytest.mark.parametrize(
    ("old", "new"), [(0, 0), (0, 1), (0, 300), (1, 300), (128, 129), (150, 300), (256, 300), (300, 300)]
)
def test_a_checkpoint_that_extends_the_head_is_cosigned(old: int, new: int) -> None:
    made = request(TREE, old, new)
    assert read_request(write_request(made)) == made
    assert answer(made, head(old)) is Answer.OK
    if old == 0:
        assert answer(made, None) is Answer.OK


def test_each_reason_has_its_code() -> None:
    good = request(TREE, 150)
    assert answer(good, head(150)) is Answer.OK
    assert answer(good, head(150), "another.example/log") is Answer.UNKNOWN
    assert answer(good, head(150), keys=[]) is Answer.FORBIDDEN
    assert answer(good, head(150), keys=[Signer(ORIGIN, LOG, "stranger").verifier]) is Answer.FORBIDDEN
    assert answer(good, head(150), keys=[Signer(ORIGIN, WITNESS).verifier]) is Answer.FORBIDDEN
    assert answer(replace(good, old=301), head(301, Tree(entries(301)))) is Answer.BAD
    assert answer(good, head(149)) is Answer.CONFLICT
    assert answer(good, None) is Answer.CONFLICT
    assert answer(good, head(150, Tree(entries(150, "other")))) is Answer.UNPROCESSABLE
    assert answer(replace(good, proof=()), head(150)) is Answer.UNPROCESSABLE
    assert answer(replace(good, proof=(*good.proof, EMPTY_ROOT)), head(150)) is Answer.UNPROCESSABLE
    assert answer(replace(request(TREE, 0), proof=good.proof), None) is Answer.UNPROCESSABLE
    assert answer(request(OTHER, 200), head(200)) is Answer.UNPROCESSABLE
    assert answer(AddCheckpoint(300, (), signed(OTHER.checkpoint())), head(300)) is Answer.UNPROCESSABLE
    assert answer(AddCheckpoint(300, (), signed(TREE.checkpoint())), head(300)) is Answer.OK


def test_the_empty_tree_has_its_root_and_no_other() -> None:
    wrong = signed(Checkpoint(ORIGIN, 0, TREE.root()))
    assert answer(AddCheckpoint(0, (), wrong), None) is Answer.UNPROCESSABLE
    assert answer(AddCheckpoint(0, (), signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT))), None) is Answer.OK


def test_a_signature_that_does_not_verify_forbids_also_beside_one_that_does() -> None:
    good = request(TREE, 150)
    line = good.note.signatures[0]
    for lines in ((replace(line, data=bytes(64)),), (line, replace(line, data=bytes(64)))):
        assert answer(replace(good, note=Note(good.note.body, lines)), head(150)) is Answer.FORBIDDEN


def test_the_first_reason_in_the_order_of_the_specification_is_the_one_that_is_given() -> None:
    """Each request has all the faults from its own on; so no unsigned text learns the size of the head."""
    unsigned = Signer(ORIGIN, LOG, "stranger")
    wrong = Checkpoint(ORIGIN, 10, OTHER.root())
    at = head(150)
    assert answer(AddCheckpoint(11, (), signed(wrong, log=unsigned)), at, "another.example/log") is Answer.UNKNOWN
    assert answer(AddCheckpoint(11, (), signed(wrong, log=unsigned)), at) is Answer.FORBIDDEN
    assert answer(AddCheckpoint(11, (), signed(wrong)), at) is Answer.BAD
    assert answer(AddCheckpoint(9, (), signed(wrong)), at) is Answer.CONFLICT
    assert answer(AddCheckpoint(9, (), signed(wrong)), head(9)) is Answer.UNPROCESSABLE


def test_a_note_that_is_no_checkpoint_is_a_bad_request() -> None:
    line = request(TREE, 0).note.signatures
    assert answer(AddCheckpoint(0, (), Note("text\n", line)), None) is Answer.BAD
    assert answer(AddCheckpoint(0, (), Note(TREE.checkpoint().body() + "extension\n", line)), None) is Answer.BAD


def test_a_conflict_tells_the_size_from_which_the_next_proof_has_to_start() -> None:
    with pytest.raises(WitnessRefused) as caught:
        decide(request(TREE, 0), head(150), ORIGIN, LOG_KEYS)
    assert caught.value.answer is Answer.CONFLICT
    assert caught.value.reason is Reason.WRONG_STATE
    again = request(TREE, caught.value.size)
    assert answer(again, head(150)) is Answer.OK
    with pytest.raises(WitnessRefused) as caught:
        decide(again, head(150), "another.example/log", LOG_KEYS)
    assert caught.value.answer is Answer.UNKNOWN


def test_the_origin_and_not_the_key_says_which_log_it_is() -> None:
    other = Signer("another.example/log", LOG)
    note = signed(TREE.checkpoint(origin="another.example/log"), log=other)
    made = AddCheckpoint(0, (), note)
    assert answer(made, None, "another.example/log", [LOG_KEY.verifier, other.verifier]) is Answer.OK
    assert answer(made, None, ORIGIN, [LOG_KEY.verifier, other.verifier]) is Answer.UNKNOWN


NOTE = write_note(request(TREE, 0).note)
HASH = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 0\n",
        "old 0\n\n",
        "old 0\n" + NOTE,
        "old 00\n\n" + NOTE,
        "old +1\n\n" + NOTE,
        "old -1\n\n" + NOTE,
        "old 1 \n\n" + NOTE,
        "old  1\n\n" + NOTE,
        "old\n\n" + NOTE,
        "Old 1\n\n" + NOTE,
        f"old {1 << 63}\n\n" + NOTE,
        "\nold 1\n\n" + NOTE,
        "old 1\r\n\r\n" + NOTE,
        "old 1\n" + HASH * 64 + "\n" + NOTE,
        "old 1\n" + HASH.replace("=", "") + "\n" + NOTE,
        "old 1\n" + HASH.replace("w=", "x=") + "\n" + NOTE,
        "old 1\n" + HASH[4:] + "\n" + NOTE,
        "old 1\n" + " " + HASH + "\n" + NOTE,
        "old 1\n\n" + NOTE.replace("\n\n", "\n"),
        "old 1\n\n" + NOTE + "\n",
        "old 1\n\n" + NOTE.replace("\n", "\x00\n", 1),
    ],
)
def test_a_request_is_read_in_its_one_form_alone(text: str) -> None:
    with pytest.raises(Malformed):
        read_request(text)


def test_a_request_has_at_most_63_lines_of_proof_and_a_limited_size() -> None:
    assert len(read_request("old 1\n" + HASH * 63 + "\n" + NOTE).proof) == 63
    with pytest.raises(Malformed) as caught:
        read_request("old 1\n\n" + NOTE + signed(TREE.checkpoint(), WITNESSES[0], at=NOW).signatures[1].line() * 300)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("made", [replace(request(TREE, 0), old=-1), replace(request(TREE, 0), proof=(b"short",))])
def test_what_would_not_read_back_is_not_asked(made: AddCheckpoint) -> None:
    with pytest.raises(Malformed):
        write_request(made)
