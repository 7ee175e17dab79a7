"""A log that has signed two histories stops every node that sees it, with evidence for all; nobody else stops one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cosigner import rumours
from cosigner.__main__ import cli
from cosigner.store import log_conflicts
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, ProofInvalid, Reason, Refused
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.note import Checkpoint, Note, read_note, write_note
from oms_core.log.roster import log_verifier
from oms_core.log.tree import EMPTY_ROOT
from oms_core.log.witness import AddCheckpoint, Answer, write_request
from tests.logs import signed
from tests.people import NOW, intent, sign_request
from tests.unit.cosigner.following import Follower, bare_note, request
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.specs import refused, spec
from tests.witnessed import Logbook


@pytest.fixture
def follower(node: Node) -> Follower:
    """A node that has cosigned twelve entries, in steps."""
    activate(node)
    made = Follower(node)
    for number in range(11):
        made.log.add("order.reading", f"txn_{number}")
        if number % 3 == 1:
            made.cosigned()
    made.cosigned()
    return made


def forked(follower: Follower, at: int = 6, size: int = 12) -> Logbook:
    """Another history of the same log, signed by it, from this size on."""
    other = follower.log.fork(at)
    while other.size < size:
        other.add("order.refusal", "")
    return other


def does_nothing(follower: Follower) -> LogConflict:
    """Over restarts, whatever it is asked; it shows evidence that convinces anybody who knows the log's key."""
    node = follower.node
    for _ in range(2):
        order = sign_request(intent())
        assert refused(node.guard, spec(order), order).reason == Reason.LOG_FORKED
        asked = (
            follower.ask,
            node.boots.check_alone,
            lambda: node.keys.change(b""),
            lambda: follower.witness.check_cover(follower.covered(), 3, follower.workspace, NOW),
        )
        for ask in asked:
            with pytest.raises(Refused) as caught:
                ask()
            assert caught.value.reason == Reason.LOG_FORKED
        assert follower.witness.standing(NOW).mode == "STOPPED"
        _, conflict = follower.witness.gossip([], NOW)
        found = decode(LogConflict, conflict, 1 << 16)
        assert "has signed" in verify_conflict(found, (log_verifier(follower.workspace),))
        follower.restart()
    return found


def goes_on(follower: Follower) -> None:
    follower.node.boots.check()
    follower.log.add("order.reading", "")
    follower.cosigned()
    assert follower.witness.gossip([], NOW)[1] == b""


@pytest.mark.parametrize("size", [7, 8, 11, 12])
def test_a_signed_head_of_another_history_stops_the_node_when_it_hears_of_it(follower: Follower, size: int) -> None:
    other = forked(follower)
    _, conflict = follower.witness.gossip([bare_note(other, size)], NOW)
    assert conflict
    does_nothing(follower)


@pytest.mark.parametrize("size", [0, 1, 5, 6])
def test_what_two_histories_have_in_common_stops_nobody(follower: Follower, size: int) -> None:
    assert follower.witness.gossip([bare_note(forked(follower), size)], NOW)[1] == b""
    goes_on(follower)


@pytest.mark.parametrize("size", [13, 20, 300])
def test_a_head_of_a_larger_tree_is_compared_when_the_node_has_come_so_far(follower: Follower, size: int) -> None:
    other = forked(follower, size=size)
    assert follower.witness.gossip([bare_note(other)], NOW)[1] == b""
    follower.restart()
    while follower.log.size < size - 1:
        follower.log.add("order.reading", "")
    follower.cosigned()
    follower.log.add("order.reading", "")
    follower.log.add("order.reading", "")
    head = follower.head
    with pytest.raises(Refused) as caught:
        follower.ask()
    assert caught.value.reason == Reason.LOG_FORKED
    assert follower.head.size == head.size + 2
    does_nothing(follower)


def test_a_larger_tree_that_fits_stops_nobody(follower: Follower) -> None:
    ahead = follower.log.fork()
    for _ in range(9):
        ahead.add("order.reading", "")
    follower.witness.gossip([bare_note(ahead, size) for size in (14, 16, 21)], NOW)
    follower.log = ahead
    for size in (13, 15, 21):
        follower.cosigned(size)
    goes_on(follower)


def test_two_heads_of_one_size_that_are_both_beyond_the_node_stop_it_at_once(follower: Follower) -> None:
    first, second = forked(follower, size=40), forked(follower, at=9, size=40)
    assert follower.witness.gossip([bare_note(first)], NOW)[1] == b""
    assert follower.witness.gossip([bare_note(second)], NOW)[1]
    does_nothing(follower)


def test_a_request_to_cosign_another_history_stops_the_node(follower: Follower) -> None:
    said = follower.ask(log=forked(follower), old=12)
    assert (said.answer, said.line) == (Answer.UNPROCESSABLE, "")
    does_nothing(follower)


def test_a_smaller_tree_of_another_history_that_is_sent_to_be_cosigned_stops_the_node(follower: Follower) -> None:
    said = follower.ask(10, old=8, log=forked(follower))
    assert (said.answer, said.size, said.line) == (Answer.CONFLICT, 12, "")
    does_nothing(follower)


def test_a_fork_that_proves_its_own_growth_has_convicted_the_log(follower: Follower) -> None:
    other = forked(follower, at=6, size=20)
    said = follower.ask(log=other, old=12)
    assert (said.answer, said.line) == (Answer.UNPROCESSABLE, "")
    found = does_nothing(follower)
    assert read_note(found.second).body == read_note(bare_note(other)).body


def test_a_wrong_proof_of_a_larger_tree_convicts_nobody_yet_and_is_not_cosigned(follower: Follower) -> None:
    other = forked(follower, at=6, size=20)
    made = signed(other.tree.checkpoint(20, other.origin), log=other.log)
    for proof in ((), (bytes(32),), (bytes(32),) * 5, follower.log.tree.consistency(5)):
        text = write_request(AddCheckpoint(12, proof, made)).encode()
        said = follower.witness.follow(text, other.items[12:], NOW)
        assert (said.answer, said.line) == (Answer.UNPROCESSABLE, "")
    assert follower.head.size == 12
    goes_on(follower)


def lies(follower: Follower) -> dict[str, bytes]:
    """Notes by which somebody without the log's key says that it has forked."""
    other = forked(follower)
    note, stranger = read_note(bare_note(other)), other.witnesses[2]
    unsigned = Note(note.body, (stranger.cosign(note.body, NOW),))
    data = note.signatures[0].data
    wrong = replace(note.signatures[0], data=data[:-1] + bytes([data[-1] ^ 1]))
    another = replace(follower.workspace, log=replace(follower.workspace.log, origin="example.org/other"))
    witness = Logbook(another)
    return {
        "nothing": b"",
        "noise": b"\xff" * 50,
        "not signed by the log": write_note(unsigned).encode(),
        "a signature that does not verify": write_note(replace(note, signatures=(wrong,))).encode(),
        "a right and a wrong line": write_note(replace(note, signatures=(*note.signatures, wrong))).encode(),
        "the signature of another head": write_note(
            replace(note, signatures=read_note(bare_note(follower.log)).signatures)
        ).encode(),
        "another log's": bare_note(witness),
        "a cosignature in the log's place": write_note(
            replace(unsigned, signatures=(replace(unsigned.signatures[0], name=follower.log.origin),))
        ).encode(),
    }


@pytest.mark.parametrize(
    "lie",
    [
        "nothing",
        "noise",
        "not signed by the log",
        "a signature that does not verify",
        "a right and a wrong line",
        "the signature of another head",
        "another log's",
        "a cosignature in the log's place",
    ],
)
def test_who_does_not_have_the_logs_key_stops_nobody(follower: Follower, lie: str) -> None:
    note = lies(follower)[lie]
    assert follower.witness.gossip([note] * 3, NOW)[1] == b""
    with pytest.raises(Refused) as caught:
        follower.witness.check_cover(note, 3, follower.workspace, NOW)
    assert caught.value.reason == Reason.NOT_LOGGED
    assert follower.witness.follow(b"old 12\n\n" + note, [], NOW).line == ""
    goes_on(follower)


def test_a_wrong_root_of_the_empty_tree_is_a_conflict_too(follower: Follower) -> None:
    bad = follower.log.fork()
    made = signed(replace(bad.tree.checkpoint(0, bad.origin), root=b"r" * 32), log=bad.log)
    assert bad.tree.checkpoint(0).root == EMPTY_ROOT
    assert follower.witness.gossip([write_note(made).encode()], NOW)[1]
    does_nothing(follower)


def test_a_note_that_is_to_cover_an_order_and_shows_another_history_stops_the_node(follower: Follower) -> None:
    other = forked(follower)
    with pytest.raises(Refused) as caught:
        follower.witness.check_cover(other.note(None, (2, 3, 4, 5)), 8, follower.workspace, NOW)
    assert caught.value.reason == Reason.LOG_FORKED
    does_nothing(follower)


def test_more_heads_of_larger_trees_than_are_kept_do_not_displace_the_next_ones(follower: Follower) -> None:
    other = forked(follower, size=14)
    follower.witness.gossip([bare_note(other)], NOW)
    far = follower.log.fork()
    for _ in range(3 * rumours.MAX_WAITING):
        far.add("order.reading", "")
    notes = [bare_note(far, 20 + number) for number in range(2 * rumours.MAX_WAITING)]
    for at in range(0, len(notes), 50):
        follower.witness.gossip(notes[at : at + 50], NOW)
    for _ in range(3):
        follower.log.add("order.reading", "")
    with pytest.raises(Refused):
        follower.ask()
    does_nothing(follower)


def test_a_log_that_signs_any_number_of_heads_does_not_fill_the_disk_with_them(
    follower: Follower, tmp_path: Path
) -> None:
    """A node that has stopped is convinced. What its operator brings is judged, and kept, however many there are."""

    def lie(number: int) -> bytes:
        return write_note(
            signed(Checkpoint(follower.log.origin, 6, bytes([number]) * 32), log=follower.log.log)
        ).encode()

    def kept() -> int:
        with follower.node.store.begin() as connection:
            return len(connection.execute(select(log_conflicts)).all())

    for number in range(1, 101):
        follower.witness.gossip([lie(number)], NOW)
    assert kept() == rumours.MAX_CONFLICTS
    does_nothing(follower)
    with follower.node.store.begin() as connection:
        said = rumours.compare(connection, lie(101), log_verifier(follower.workspace), NOW)
    assert said.conflict
    assert "has signed" in said.words
    follower.trust(despite_conflict=True)
    goes_on(follower)
    follower.witness.gossip([lie(99)], NOW)
    does_nothing(follower)


def test_a_disk_from_before_the_conflict_was_seen_is_an_older_one(follower: Follower, tmp_path: Path) -> None:
    node = follower.node
    node.stop()
    old = node.copy(tmp_path / "old")
    follower.node.boot()
    follower.opened()
    follower.witness.gossip([bare_note(forked(follower))], NOW)
    node.boots.settle()
    node.stop()
    node.take(old, store=True)
    node.boot()
    assert "older copy" in node.boots.rolled_back


def test_the_operator_lets_the_node_go_on_with_its_own_history_and_with_no_other(follower: Follower) -> None:
    other = forked(follower)
    follower.witness.gossip([bare_note(other, 9)], NOW)
    with pytest.raises(Refused):
        follower.trust()
    does_nothing(follower)
    follower.trust(despite_conflict=True)
    assert follower.witness.gossip([bare_note(other, 9)], NOW)[1] == b""
    goes_on(follower)
    assert follower.ask(log=other, old=13).line == ""
    follower.witness.gossip([bare_note(other, 10)], NOW)
    does_nothing(follower)


def run(node: Node, *arguments: str | Path) -> Result:
    """The operator's command on the stopped node."""
    node.stop()
    try:
        said = CliRunner().invoke(cli, ["--config", str(node.home / "cosigner.toml"), *map(str, arguments)])
    finally:
        node.boot()
    return said


def test_two_teams_compare_their_heads_by_file(follower: Follower, tmp_path: Path) -> None:
    node, file, evidence = follower.node, tmp_path / "head", tmp_path / "evidence"
    said = run(node, "head")
    assert (said.exit_code, said.output) == (0, bare_note(follower.log).decode())
    for size, words in ((5, "begins with that tree of 5 entries"), (12, "begins with that tree of 12")):
        file.write_bytes(bare_note(follower.log, size))
        assert words in run(node, "compare-head", file).output
    file.write_bytes(bare_note(forked(follower, size=20)))
    assert "will be compared when" in run(node, "compare-head", file).output
    assert "no two heads" in run(node, "log-conflict").output
    file.write_bytes(bare_note(forked(follower), 11))
    said = run(node, "compare-head", file)
    assert said.exit_code != 0
    assert "has signed a head of 11 entries" in said.output
    follower.opened()
    does_nothing(follower)
    said = run(node, "log-conflict", "--out", evidence)
    assert "does nothing until" in said.output
    found = decode(LogConflict, evidence.read_bytes(), 1 << 16)
    verify_conflict(found, (log_verifier(follower.workspace),))
    assert run(node, "trust-log", "--yes").exit_code != 0
    assert run(node, "trust-log", "--despite-conflict").exit_code != 0
    follower.opened()
    does_nothing(follower)
    said = run(node, "trust-log", "--despite-conflict", "--yes")
    assert said.exit_code == 0
    assert "the operator has said to go on" in run(node, "log-conflict").output
    follower.opened().now = max(NOW, follower.head.full_at)
    follower.node.boots.check()


def test_evidence_that_another_node_has_found_convinces_this_one(follower: Follower) -> None:
    key = log_verifier(follower.workspace)
    first, second = forked(follower, size=30), forked(follower, at=3, size=30)
    evidence = encode(LogConflict(bare_note(first).decode(), bare_note(second).decode(), ()))
    with follower.node.store.begin() as connection:
        assert rumours.compare(connection, evidence, key, NOW).conflict
    does_nothing(follower)


def test_a_file_that_shows_nothing_is_refused_in_words(follower: Follower) -> None:
    key, note = log_verifier(follower.workspace), bare_note(follower.log).decode()
    nothing = encode(LogConflict(note, note, ()))
    foreign = lies(follower)["not signed by the log"]
    for data, error in ((b"noise", Malformed), (nothing, ProofInvalid), (foreign, ProofInvalid)):
        with follower.node.store.begin() as connection, pytest.raises(error):
            rumours.compare(connection, data, key, NOW)
    with follower.node.store.begin() as connection, pytest.raises(Malformed, match="neither a signed head of a log"):
        rumours.compare(connection, b"noise", key, NOW)
    goes_on(follower)


def test_requests_are_whole_texts(follower: Follower) -> None:
    text = request(follower.log, 12)
    for bent in (b"", text[:-1], text[1:], text + b"\n", b"old 12\n\n", text.replace(b"old 12", b"old 012")):
        said = follower.witness.follow(bent, [], NOW)
        assert said.answer in (Answer.BAD, Answer.FORBIDDEN), bent
        assert said.line == ""
    goes_on(follower)
