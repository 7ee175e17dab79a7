"""Asks cosigners what they have of the log. What they answer is held against itself here, and named if it cannot be.

Nobody is believed: a head counts under the log's own key, a cosignature if it verifies, entries if they lead to a head.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from coordinator.clock import AHEAD
from coordinator.cosigners import Link
from coordinator.journal import Journal
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason, Unavailable
from oms_core.log.entries import COUNTED, KEPT, Item, read_entry, read_record
from oms_core.log.note import Checkpoint, Note, Signature, Verifier, cosignatures, read_note
from oms_core.log.quorum import vouched_at
from oms_core.log.tree import EMPTY_ROOT, MAX_SIZE, Frontier, leaf_hash
from proto import cosigner_pb2 as pb

SECONDS = 60.0  # for an answer


@dataclass(frozen=True, slots=True)
class Shown:
    """The newest head that a cosigner knows; ``note`` is None if it has followed nothing."""

    head: Checkpoint
    note: Note | None


async def shown(journal: Journal, link: Link) -> Shown:
    """What a cosigner shows. Raises `ProofInvalid` or `Malformed` for what is no head of this log, `Unavailable`."""
    data = (await _recall(link, MAX_SIZE - 1)).head
    with _said_by(link.index):
        if not data:
            return Shown(Checkpoint(journal.origin, 0, EMPTY_ROOT), None)
        return Shown(journal.own(data), read_note(data))


def cosigned(head: Checkpoint, known: Iterable[Shown], witnesses: Sequence[Verifier]) -> tuple[Note, int]:
    """All that is known of a head: each witness's newest line that verifies; when it was vouched for, 0 if never."""
    lines = dict[int, tuple[int, Signature]]()
    for one in known:
        if one.note is None or one.head != head:
            continue
        for number, witness in enumerate(witnesses):
            with suppress(ProofInvalid):  # a forged line says nothing of the others
                if at := cosignatures(one.note, (witness,)).get(witness.name, 0):
                    line = next(x for x in one.note.by(witness) if int.from_bytes(x.data[:8], "big") == at)
                    lines[number] = max(lines.get(number, (0, line)), (at, line), key=lambda pair: pair[0])
    note = Note(head.body(), tuple(line for _, line in lines.values()))
    return note, vouched_at((at for at, _ in lines.values()), len(witnesses))


def check_clock(vouched: int) -> None:
    """Witnesses never take an entry from before they have cosigned without it. Raises `Unavailable` (LOG_STALE)."""
    if (behind := vouched - int(time.time())) > AHEAD:
        raise Unavailable(f"this machine's clock is {behind} seconds behind its cosigners': set it", Reason.LOG_STALE)


async def recalled(link: Link, start: int) -> list[Item]:
    """Entries from this one on, at least one, with the records that cosigners count by: nobody follows a log without.

    Raises `ProofInvalid` (NOT_LOGGED) or `Malformed` if that is not what it hands back, `Unavailable`.
    """
    items = [Item(one.entry, one.record, one.salt) for one in (await _recall(link, start)).items]
    with _said_by(link.index):
        if not items:
            raise ProofInvalid(f"it does not hold entry {start}", Reason.NOT_LOGGED)
        for index, one in enumerate(items, start):
            entry = read_entry(one.entry)
            if index == start < entry.index:
                text = f"it keeps entries from {entry.index} on, and followed those from {start} on before it kept any"
                raise ProofInvalid(text, Reason.NOT_LOGGED)
            if entry.index != index:
                raise Malformed(f"entry {entry.index} stands in place {index}")
            if read_record(entry, one) is None and entry.event in COUNTED:
                raise ProofInvalid(f"the record of entry {index} is missing", Reason.NOT_LOGGED)
    return items


async def completed(items: list[Item], start: int, others: Iterable[Link]) -> list[Item]:
    """Entries from ``start`` on with the records that one cosigner lacks, or keeps back, and ``others`` have."""
    items, lacking = list(items), [at for at, one in enumerate(items) if not one.record and _kept(one)]
    for link in others:
        asked = -1  # below this place it was asked
        for at in lacking:
            if at < asked or items[at].record:
                continue
            try:
                theirs = await recalled(link, start + at)
            except CountersealError:
                break  # nothing rests on it
            asked = at + len(theirs)
            for place, one in zip(range(at, len(items)), theirs, strict=False):
                if one.entry == items[place].entry and not items[place].record and _kept(one):
                    items[place] = one
    return items


def _kept(one: Item) -> bool:
    return read_entry(one.entry).event in KEPT


async def check_followed(link: Link, head: Checkpoint) -> None:
    """From the first entry on, its entries lead to its head. Raises `ProofInvalid`, and as `recalled`."""
    tree = Frontier()
    while tree.size < head.size:
        for one in (await recalled(link, tree.size))[: head.size - tree.size]:
            tree = tree.append(leaf_hash(one.entry))
    check_leads(link, tree, head)


def check_leads(link: Link, tree: Frontier, head: Checkpoint) -> None:
    """A cosigner's entries make the tree that its head is of. Raises `ProofInvalid` (DIGEST_MISMATCH)."""
    if tree.root() != head.root:
        text = f"what cosigner {link.index} hands back does not lead to its head"
        raise ProofInvalid(text, Reason.DIGEST_MISMATCH)


def longest(known: Mapping[int, Shown]) -> list[int]:
    """Who has followed the most."""
    most = max(one.head.size for one in known.values())
    return [index for index, one in known.items() if one.head.size == most]


async def _recall(link: Link, start: int) -> pb.Recalled:
    answer = await link.ask(pb.ToCosigner(recall=pb.Recall(start=start)), SECONDS)
    if answer.WhichOneof("body") != "recalled":
        failed = answer.failed
        raise Malformed(f"cosigner {link.index} hands nothing back: {failed.reason} {failed.detail}"[:300])
    return answer.recalled


@contextmanager
def _said_by(index: int) -> Iterator[None]:
    """What is wrong with what a cosigner says names it: without it, the others may do."""
    try:
        yield
    except (Malformed, ProofInvalid) as error:
        raise type(error)(f"cosigner {index} hands back what does not hold: {error.message}", error.reason) from error
