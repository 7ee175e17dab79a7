"""What a witness is asked, and what it answers (C2SP tlog-witness, add-checkpoint): texts, and the decision.

The decision is pure. Whoever keeps the head decides and stores the new head in one transaction, and answers after it:
otherwise two requests that were decided on the same head roll it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from oms_core.errors import Malformed, ProofInvalid, Reason, Refused
from oms_core.log.lines import base64, read_back, read_number, read_path, read_text
from oms_core.log.note import LIMIT, Checkpoint, Note, Verifier, read_checkpoint, read_note, verify_log, write_note
from oms_core.log.tree import EMPTY_ROOT, verify_consistency

REQUEST_LIMIT = LIMIT + 4096


class Answer(IntEnum):
    """What a witness answers, as HTTP status codes."""

    OK = 200
    BAD = 400
    FORBIDDEN = 403
    UNKNOWN = 404
    CONFLICT = 409
    UNPROCESSABLE = 422


REASONS = {
    Answer.BAD: Reason.MALFORMED,
    Answer.FORBIDDEN: Reason.SIGNATURE_INVALID,
    Answer.UNKNOWN: Reason.PEER_IDENTITY,
    Answer.CONFLICT: Reason.WRONG_STATE,
    Answer.UNPROCESSABLE: Reason.LOG_CONFLICT,
}


class WitnessRefused(Refused):
    """Why nothing is cosigned: the answer's code, and the size of the head that the witness stands on."""

    def __init__(self, answer: Answer, size: int, message: str) -> None:
        super().__init__(message, REASONS[answer], answer=str(answer.value), size=str(size))
        self.answer = answer
        self.size = size


@dataclass(frozen=True, slots=True)
class Head:
    """The latest checkpoint that a witness has cosigned for one log; the empty tree, if none."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign a checkpoint, with the proof that it extends the tree of ``old`` entries."""

    old: int
    proof: tuple[bytes, ...]
    note: Note


def write_request(request: AddCheckpoint) -> str:
    """The request's text. Raises `Malformed` for what `read_request` would not read."""
    lines = [f"old {request.old}", *map(base64, request.proof), "", write_note(request.note)]
    return read_back("\n".join(lines), request, read_request)


def read_request(text: str | bytes) -> AddCheckpoint:
    """Read a request. Raises `Malformed`, to which a witness answers `Answer.BAD`."""
    before, empty, note = read_text(text, REQUEST_LIMIT).partition("\n\n")
    first, *proof = before.split("\n")
    if not empty or not first.startswith("old "):
        raise Malformed("a request has a line with the old size, a proof, an empty line and a checkpoint")
    path = read_path(proof, "proof")
    request = AddCheckpoint(read_number(first.removeprefix("old "), "old size"), path, read_note(note))
    read_checkpoint(request.note.body)
    return request


def decide(request: AddCheckpoint, head: Head | None, origin: str, log: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint to cosign: it is this log's, and extends the head. Raises `WitnessRefused`.

    ``log`` holds the keys of which one has to have signed it; ``origin`` is the one log that this head belongs to.
    """
    head = head or Head()
    try:
        checkpoint = read_checkpoint(request.note.body)
    except Malformed as error:
        raise WitnessRefused(Answer.BAD, head.size, error.message) from error
    if checkpoint.origin != origin:
        raise WitnessRefused(Answer.UNKNOWN, head.size, "the checkpoint's origin is not known here")
    try:
        verify_log(request.note, *log)
    except ProofInvalid as error:
        raise WitnessRefused(Answer.FORBIDDEN, head.size, error.message) from error
    if request.old > checkpoint.size:
        raise WitnessRefused(Answer.BAD, head.size, "the old size is larger than the checkpoint's")
    if request.old != head.size:
        raise WitnessRefused(Answer.CONFLICT, head.size, "the old size is not the head's")
    try:
        verify_consistency(head.size, head.root, checkpoint.size, checkpoint.root, request.proof)
    except ProofInvalid as error:
        raise WitnessRefused(Answer.UNPROCESSABLE, head.size, error.message) from error
    return checkpoint
