"""What each cosigner read in a proposal before people are asked, and whether all of them read the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oms_core.authorize import review
from oms_core.chains.intent import Subject, check_subject, subject_digest
from oms_core.chains.render import Rendering, render, rendering_digest
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Malformed, NotFound, ProofInvalid, Reason, Refused
from oms_core.evidence import Reading, ReadRequest, Refusal, SignedReading, SignedRefusal, request_digest
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Outcome, judge
from oms_core.proposals import verify_proposal
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import ChangeWorkspace, Workspace, member, workspace_digest
from oms_core.workspace.change import honest_among, newly_listed
from oms_core.workspace.words import span_words

SIGNED_LIMIT = 4096  # bytes of a signed reading or refusal
SHOWN_WITHIN = 600  # seconds, from when a change says that it was written to when cosigners have read it


def plain_decision(subject: Subject, workspace: Workspace) -> bytes:
    """The digest of what the rules say of a subject by itself: at its first second, nothing spent, nothing observed.

    Limits, clocks and observations differ from node to node; this may not, under one version of workspace and code.
    Of a change of the workspace, which no rule judges, it is empty.
    """
    if isinstance(subject, ChangeWorkspace):
        return b""
    return digest("plain decision", judge(workspace, subject, Facts(subject.valid_from)).digest)


def read(index: int, request: ReadRequest, workspace: Workspace, facts: Facts) -> tuple[Reading, Rendering]:
    """What cosigner ``index`` reads in a proposal, and its sentences.

    Raises what `review` raises, and `Refused` if the rules deny it already: nobody need be asked then.
    """
    if request.workspace != workspace_digest(workspace):
        raise Refused("the request stands on another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
    subject = request.proposal.subject
    if isinstance(subject, ChangeWorkspace):
        check_subject(subject, facts.now)
        verify_proposal(request.proposal, workspace)
    else:
        _, decision = review(request.proposal, workspace, facts)
        if decision.outcome is Outcome.DENY:
            raise Refused(decision.detail, decision.reason, rule=decision.objections[0].rule_id)
    rendering = render(subject, workspace)
    reading = Reading(
        index=index,
        subject=subject_digest(subject),
        workspace=request.workspace,
        rendering=rendering_digest(rendering),
        decision=plain_decision(subject, workspace),
        at=facts.now,
    )
    return reading, rendering


def verify_reading(data: bytes, workspace: Workspace, subject: Subject) -> Reading:
    """A signed reading of this subject under this workspace, by a cosigner of its roster.

    Raises `Malformed`, `NotFound` or `ProofInvalid`. What was read may well be something else than is expected.
    """
    signed = decode(SignedReading, data, SIGNED_LIMIT)
    reading = signed.reading
    verify_identity(member(workspace, reading.index).identity, "reading", encode(reading), signed.signature)
    if (reading.subject, reading.workspace) != (subject_digest(subject), workspace_digest(workspace)):
        raise ProofInvalid("the reading is of something else", Reason.DIGEST_MISMATCH)
    return reading


def verify_read_refusal(data: bytes, workspace: Workspace, request: ReadRequest) -> Refusal:
    """A cosigner's signed no to reading this. Raises `Malformed`, `NotFound` or `ProofInvalid`."""
    signed = decode(SignedRefusal, data, SIGNED_LIMIT)
    refusal = signed.refusal
    verify_identity(member(workspace, refusal.index).identity, "refusal", encode(refusal), signed.signature)
    if (refusal.session_id, refusal.request) != (b"", request_digest(request)):
        raise ProofInvalid("the refusal is of something else", Reason.DIGEST_MISMATCH)
    if refusal.reason not in Reason.__members__:
        raise Malformed("a refusal for no reason that there is")
    return refusal


@dataclass(frozen=True, slots=True)
class Agreement:
    """Who read what I read, who read something else, and whose word does not hold.

    ``moments`` are the Unix seconds at which those who read the same did so, by their own clocks; ascending.
    """

    same: tuple[int, ...]
    different: tuple[Reading, ...]
    invalid: int
    moments: tuple[int, ...]

    @property
    def unanimous(self) -> bool:
        """Whether nobody says otherwise."""
        return not self.different and not self.invalid


def agreement(subject: Subject, workspace: Workspace, readings: Iterable[bytes]) -> Agreement:
    """Signed readings held against one's own rendering and one's own plain decision."""
    own = rendering_digest(render(subject, workspace)), plain_decision(subject, workspace)
    found: dict[int, Reading] = {}
    invalid = 0
    for data in readings:
        try:
            reading = verify_reading(data, workspace, subject)
        except (Malformed, NotFound, ProofInvalid):
            invalid += 1
            continue
        if reading.index not in found or (found[reading.index].rendering, found[reading.index].decision) == own:
            found[reading.index] = reading  # of two stories of one node, the one that differs stays
    same = tuple(i for i, one in sorted(found.items()) if (one.rendering, one.decision) == own)
    moments = tuple(sorted(found[i].at for i in same))
    return Agreement(same, tuple(one for i, one in sorted(found.items()) if i not in same), invalid, moments)


def check_written(wish: ChangeWorkspace, workspace: Workspace, found: Agreement) -> None:
    """That what a change brings in has not been dated back: cosigners read it soon after it says it was written.

    Ages of entries count from then. Of those who were the first to read it one is honest, and read it no earlier than
    it was proposed. Raises `Refused` (EXPIRED).
    """
    first = found.moments[: honest_among(len(workspace.roster))]
    created = wish.next.created_at
    if first and first[-1] > created + SHOWN_WITHIN and (new := newly_listed(workspace, wish.next)):
        late = f"cosigners were shown it {span_words(first[-1] - created)} after it says that it was written"
        raise Refused(f"entry {new[0].entry_id}: added_at: {late}", Reason.EXPIRED)


def readings_needed(workspace: Workspace, threshold: int) -> int:
    """How many readings people wait for: as many as sign, and more than half of the roster.

    The second holds whatever anybody claims the threshold to be: it keeps a coordinator from leaving out who differs.
    """
    return max(threshold, len(workspace.roster) // 2 + 1)
