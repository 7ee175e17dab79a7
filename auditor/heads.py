"""A checkpoint as an auditor takes it: signed by the log, cosigned by enough of the roster, and by nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.report import must, numbers, when
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Reason
from oms_core.log.note import LOG, Checkpoint, Note, Verifier, cosignatures, read_note, verify_log, write_note
from oms_core.log.quorum import degraded, faults, full, vouched_at
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Vouched:
    """A checkpoint, and when (Unix seconds) each cosigner of ``roster`` many has cosigned it, by index."""

    checkpoint: Checkpoint
    cosigned: dict[int, int]
    roster: int

    @property
    def full(self) -> bool:
        """Whether no other head of this size can have as many cosignatures, as long as fewer than half lie."""
        return len(self.cosigned) >= full(self.roster)

    def check_time(self, at: int) -> None:
        """An entry of this Unix second may stand under it: honest witnesses pass none on that is of their future.

        So of those who have cosigned, no more than may lie have done so before. Raises `ProofInvalid`.
        """
        times = sorted(self.cosigned.values())
        text = f"an entry of {when(at)} is under a head that was cosigned at {when(times[faults(self.roster)])}"
        must(at <= times[faults(self.roster)] + CLOCK_SKEW, text)

    @property
    def words(self) -> str:
        """Who vouches for it, and what that means."""
        names = numbers(tuple(sorted(self.cosigned)))
        kind = "in full" if self.full else "in part: enough that one of them at least is honest"
        since = when(vouched_at(self.cosigned.values(), self.roster))
        return f"cosigned by cosigners {names} of {self.roster}, {kind}; an honest one saw it at {since} or later"


def verify_head(note: str | bytes, workspace: Workspace, others: Iterable[Workspace] = ()) -> Vouched:
    """A note that the log has signed and enough of the roster have cosigned, with no line that is anybody else's.

    While keys change, ``others`` of the workspace's versions have theirs under it: these lines hold, and do not count.
    Raises `ProofInvalid` (SIGNATURE_INVALID; QUORUM_UNAVAILABLE below one honest witness for certain) or `Malformed`.
    """
    read, log, witnesses = read_note(note), log_verifier(workspace), witness_verifiers(workspace)
    text = note if isinstance(note, str) else note.decode()
    must(write_note(read) == text, "the note is not in its one form")
    known = {(one.name, one.key_id): one for version in (*others, workspace) for one in _keys(version)}
    lines = [(one.name, one.key_id) for one in read.signatures]
    for line in lines:
        if line not in known:
            must(False, f"a line of {line[0][:80]!r}, who is not of the roster", Reason.SIGNATURE_INVALID)
    must(len(set(lines)) == len(lines), "two lines by one key", Reason.SIGNATURE_INVALID)
    checkpoint = verify_log(read, log)
    found = cosignatures(read, list(witnesses.values()))
    for former in {known[line] for line in lines} - {log, *witnesses.values()}:
        if former.kind == LOG:
            verify_log(read, former)
        else:
            cosignatures(read, [former])
    cosigned = {index: found[one.name] for index, one in witnesses.items() if one.name in found}
    n = len(workspace.roster)
    if len(cosigned) < degraded(n):
        text = f"{len(cosigned)} of {n} cosigners have cosigned it, and {degraded(n)} at least are needed"
        must(False, text, Reason.QUORUM_UNAVAILABLE)
    return Vouched(checkpoint, cosigned, n)


def _keys(workspace: Workspace) -> tuple[Verifier, ...]:
    return log_verifier(workspace), *witness_verifiers(workspace).values()


def known_lines(note: Note, workspace: Workspace) -> Note:
    """The note with the lines that a version of the workspace knows of."""
    known = {(one.name, one.key_id) for one in _keys(workspace)}
    return Note(note.body, tuple(one for one in note.signatures if (one.name, one.key_id) in known))
