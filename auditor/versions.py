"""The workspace's chain as the log has it: from the version that was agreed at the ceremony, change by change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from auditor.report import must
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import decode
from oms_core.errors import Malformed, Reason
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.history import WORKSPACE_LIMIT
from oms_core.log.entries import GENESIS, WORKSPACE_APPROVED, Entry, Record
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from oms_core.workspace.change import Approved, verify_change

AFTERWARDS = ("before the log began", "learnt")
"""Remarks on changes that were approved before the log says so: the approvers' own clocks tell when."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version, the index of the entry that brought it, and from when (Unix seconds) it could count, and had to.

    Both are the same but for what was written down afterwards.
    """

    workspace: Workspace
    index: int
    counts_at: int
    due_at: int


class Versions:
    """A chain that begins with a pinned version and grows by changes that are verified."""

    def __init__(self, genesis: Workspace) -> None:
        self._chain = [Version(genesis, 0, 0, 0)]

    @property
    def newest(self) -> Workspace:
        """The last one."""
        return self._chain[-1].workspace

    @property
    def by_digest(self) -> dict[bytes, Workspace]:
        """All of them, as `authorize` wants to know earlier ones."""
        return {workspace_digest(one.workspace): one.workspace for one in self._chain}

    def known_at(self, index: int) -> Iterator[Workspace]:
        """The versions that could be known before this entry, newest first."""
        return (one.workspace for one in reversed(self._chain) if one.index <= index)

    def extend(self, entry: Entry, record: Record) -> Approved:
        """The next version, as approved. Raises what `verify_change` raises, and `Malformed`."""
        request = read_change(record)
        at = entry.at
        if late := record.note in AFTERWARDS:
            at = min(entry.at, max((one.claim.decided_at for one in request.approvals), default=entry.at))
        approved = verify_change(request, self.newest, at)
        counts_at = at + approved.delay - (CLOCK_SKEW if late else 0)
        self._chain.append(Version(approved.wish.next, entry.index, counts_at, entry.at + approved.delay))
        return approved

    def used(self, digest: bytes, entry: Entry) -> Workspace:
        """The version of this digest, if it could be used when the entry was made. Raises `ProofInvalid`."""
        for one in self._chain:
            if workspace_digest(one.workspace) == digest:
                number = one.workspace.version
                must(one.index <= entry.index, f"version {number} came after entry {entry.index}")
                early = entry.at + CLOCK_SKEW < one.counts_at
                must(not early, f"version {number} did not count yet at entry {entry.index}", Reason.DELAYED)
                return one.workspace
        text = f"entry {entry.index} stands on a version that is not in the chain"
        must(False, text, Reason.POLICY_VERSION_MISMATCH)
        raise AssertionError

    def overtaken(self, digest: bytes, entry: Entry) -> Workspace | None:
        """The version that every cosigner had to follow by this entry instead of the one of this digest, if one was."""
        for one, following in pairwise(self._chain):
            if workspace_digest(one.workspace) == digest:
                due = following.index < entry.index and following.due_at + CLOCK_SKEW < entry.at
                return following.workspace if due else None
        return None


def read_genesis(entry: Entry, record: Record | None) -> Workspace:
    """The workspace with which a log begins. Raises `Malformed`."""
    if (entry.index, entry.event) != (0, GENESIS) or record is None or len(record.documents) != 1:
        raise Malformed(f"a log begins with {GENESIS}, whose record holds the workspace")
    return decode(Workspace, record.documents[0], WORKSPACE_LIMIT)


def read_change(record: Record) -> ChangeWorkspaceRequest:
    """The request by which people changed the workspace. Raises `Malformed`."""
    if len(record.documents) != 1:
        raise Malformed(f"the record of {WORKSPACE_APPROVED} holds one document")
    request = decode(ChangeWorkspaceRequest, record.documents[0], WORKSPACE_LIMIT)
    if not isinstance(request.proposal.subject, ChangeWorkspace):
        raise Malformed("the request does not fit its subject")
    return request
