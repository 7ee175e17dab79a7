"""From one version of the workspace to the next: what may change, who has to say so, and when it counts.

A change is judged by the governance of the version that it changes, never by its own. Rules do not speak of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oms_core.authorize import Approver, verify_approvals
from oms_core.chains.intent import CLOCK_SKEW, check_subject
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProofInvalid, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest, SignedScheduling
from oms_core.policy.decision import Given
from oms_core.policy.index import index_of
from oms_core.policy.require import Asking, needs
from oms_core.proposals import verify_proposal
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import (
    AddressEntry,
    ChangeWorkspace,
    ContractEntry,
    Direction,
    Member,
    Privilege,
    User,
    Workspace,
    governed,
    privileges,
    user,
    workspace_digest,
)
from oms_core.workspace.check import check_workspace
from oms_core.workspace.grants import gainers
from oms_core.workspace.parts import Part, direction_of, parts
from oms_core.workspace.words import span_words

MAX_LIFE = 31 * 86_400  # seconds: a wish cannot be dated back further than this
MAX_WAIT = 86_400  # seconds between when a new entry says that it was added and when the last approver decided


@dataclass(frozen=True, slots=True)
class Approved:
    """A change that everybody who has to has approved: it counts when ``delay`` seconds have passed since."""

    wish: ChangeWorkspace
    initiator: User
    approvers: tuple[Approver, ...]
    parts: tuple[Part, ...]
    direction: Direction
    delay: int


@dataclass(frozen=True, slots=True)
class Removed:
    """User ids and credential ids that may no longer approve: what they approved and is not done counts no more."""

    users: frozenset[str]
    credentials: frozenset[bytes]


def check_successor(current: Workspace, following: Workspace) -> None:
    """What may not change at all, however many approve. Raises `Malformed` naming the field, `Refused` if it is stale.

    Who was ever here stays, disabled at the least, and so does each credential: names never come to mean somebody else.
    """
    if following.parent != workspace_digest(current) or following.version != current.version + 1:
        said = f"version {following.version} does not follow on version {current.version} of this workspace as it is"
        raise Refused(said, Reason.POLICY_VERSION_MISMATCH)
    if following.created_at < current.created_at:
        raise Malformed("created_at: before the version that it follows")
    if following.log.origin != current.log.origin:
        raise Malformed("log.origin: a log is the same one for ever")
    users = {one.user_id: one for one in following.users}
    for one in current.users:
        same = users.get(one.user_id)
        if same is None or same.person_id != one.person_id:
            raise Malformed(f"users: {one.user_id} is disabled, not taken away or made somebody else")
        keys = {credential.credential_id: credential for credential in same.credentials}
        for credential in one.credentials:
            kept = keys.get(credential.credential_id)
            if kept is None or kept.public_key != credential.public_key or kept.revoked < credential.revoked:
                said = f"user {one.user_id}: credentials: what was enrolled is revoked for good, and not taken away"
                raise Malformed(said)
    for entry, added_at in _entries(current, following):
        if entry.added_at != (following.created_at if added_at is None else added_at):
            raise Malformed(f"entry {entry.entry_id}: added_at: the created_at of the version that brought it in")


def _entries(current: Workspace, following: Workspace) -> Iterator[tuple[AddressEntry | ContractEntry, int | None]]:
    """Each entry of a next version, and since when it has been there; None for what is new, or has moved."""
    for book in ("address_book", "contracts"):
        before = {(one.entry_id, one.chain, one.address): one.added_at for one in getattr(current, book)}
        for entry in getattr(following, book):
            yield entry, before.get((entry.entry_id, entry.chain, entry.address))


def newly_listed(current: Workspace, following: Workspace) -> tuple[AddressEntry | ContractEntry, ...]:
    """Entries that a next version brings in, or moves to another account: their age counts from its created_at."""
    return tuple(entry for entry, added_at in _entries(current, following) if added_at is None)


def verify_change(request: ChangeWorkspaceRequest, current: Workspace, now: int) -> Approved:
    """A change of the workspace with all the approvals that it needs, under the governance of ``current``.

    ``now`` is when it was seen; whether its delay is over, `ready` says. Raises `Refused`: POLICY_VERSION_MISMATCH if
    it stands on another version, NOT_ELIGIBLE for people without the privilege, SELF_APPROVAL, APPROVAL_MISSING, and
    what an assertion may be refused for; `Malformed` for what cannot be a next version, with EXPIRED for an entry that
    says that it was added long before the last of them decided.
    """
    wish = request.wish
    check_subject(wish, now)
    found = check_change(wish, current)
    initiator = verify_proposal(request.proposal, current)
    if Privilege.PROPOSE_CHANGES not in privileges(current, initiator, ""):
        raise Refused(f"{initiator.user_id} may not propose changes", Reason.NOT_ELIGIBLE)
    approvers = verify_approvals(request.approvals, current, wish, now)
    way = direction_of(found)
    _check_quorum(current, wish, way, approvers, now)
    _check_dates(current, wish.next, approvers)
    return Approved(wish, initiator, approvers, found, way, governed(current, way).approvals.delay)


def check_change(wish: ChangeWorkspace, current: Workspace) -> tuple[Part, ...]:
    """What does not depend on who has approved: a next version, fit, of this one, with something new in it.

    Raises as `verify_change`.
    """
    check_successor(current, wish.next)
    check_workspace(wish.next)
    if wish.valid_until - wish.valid_from > MAX_LIFE:
        raise Malformed(f"valid_until: a wish for a change is valid for at most {span_words(MAX_LIFE)}")
    if wish.next.created_at < wish.valid_from:
        raise Malformed("created_at: before the wish's valid_from")
    if wish.next.created_at >= wish.valid_until:  # or every later version, and every entry in it, is of the future
        raise Malformed("created_at: not before the wish's valid_until")
    found = parts(current, wish.next)
    if not found:
        raise Malformed("the next version changes nothing")
    return found


def _check_quorum(
    current: Workspace, wish: ChangeWorkspace, way: Direction, approvers: tuple[Approver, ...], now: int
) -> None:
    """Those whose own grants grow with the change may have pressed their keys; it does not count."""
    required = governed(current, way).approvals
    gaining = gainers(current, wish.next)
    for one in approvers:
        if Privilege.APPROVE_CHANGES not in privileges(current, one.user, ""):
            raise Refused(f"{one.user.user_id} may not approve changes", Reason.NOT_ELIGIBLE)
    given = [
        Given(one.user.user_id, one.credential.assurance, one.decided_at)
        for one in approvers
        if one.user.person_id not in gaining
    ]
    initiator = user(current, wish.initiator)
    asking = Asking(index_of(current), initiator.person_id, "", Privilege.APPROVE_CHANGES)
    missing = [need for need in needs(f"governance of {way}", required, asking, given, now) if need.missing]
    if not missing:
        return
    said = "; ".join(need.words for need in missing)
    if selfish := sorted(one.user.user_id for one in approvers if one.user.person_id in gaining):
        raise Refused(f"{said}; {', '.join(selfish)} would gain by it and cannot count", Reason.SELF_APPROVAL)
    raise Refused(said, Reason.APPROVAL_MISSING)


def _check_dates(current: Workspace, following: Workspace, approvers: tuple[Approver, ...]) -> None:
    """Ages of entries count from when they say that they were added, so nobody may say so long before it was so.

    Of those who decided one at least is honest, and by her own clock she decided no earlier than that was asked; so the
    last of them counts, and whoever says that she decided later makes it only stricter.
    """
    last = max((one.decided_at for one in approvers), default=0)
    for entry in newly_listed(current, following):
        if entry.added_at + MAX_WAIT + CLOCK_SKEW < last:
            said = f"entry {entry.entry_id}: added_at: {span_words(last - entry.added_at)} before the last approver"
            raise Malformed(f"{said} decided; at most {span_words(MAX_WAIT)}, or it is proposed anew", Reason.EXPIRED)


def honest_among(count: int) -> int:
    """Of ``count`` cosigners, how many hold at least one that is honest as long as fewer than half are not."""
    return count // 2 + 1


def ready(
    change: bytes,
    seen_at: int | None,
    schedulings: Iterable[SignedScheduling],
    roster: tuple[Member, ...],
    delay: int,
    now: int,
) -> bool:
    """Whether an approved change (its 32-byte subject digest) counts by now.

    ``seen_at`` is when this node saw it approved by its own clock, None if it has not. Other nodes' signed words count
    from the one that at least one honest node must have said it by. What is not theirs, or is of the future, is passed
    over: a relay may mix anything in.
    """
    said: dict[int, int] = {}
    keys = {member.index: member.identity for member in roster}
    for signed in schedulings:
        one = signed.scheduling
        if one.change != change or one.index not in keys or not 0 <= one.at <= now:
            continue
        try:
            verify_identity(keys[one.index], "scheduling", encode(one), signed.signature)
        except ProofInvalid:
            continue
        said[one.index] = max(one.at, said.get(one.index, 0))
    since = [] if seen_at is None else [seen_at]
    if len(said) >= honest_among(len(roster)):
        since.append(sorted(said.values())[honest_among(len(roster)) - 1])
    return bool(since) and now >= min(since) + delay


def removed_people(old: Workspace, new: Workspace) -> Removed:
    """Who could approve something under ``old`` and nothing under ``new``, and with which credentials."""
    users, kept = set(), set()
    still = {one.user_id: one for one in new.users}
    for one in new.users:
        if one.enabled:
            kept |= {(each.credential_id, each.public_key) for each in one.credentials if not each.revoked}
    for one in old.users:
        same = still.get(one.user_id)
        if same is None or same.person_id != one.person_id or not _approving(new, same) >= _approving(old, one):
            users.add(one.user_id)
    gone = {
        each.credential_id
        for one in old.users
        for each in one.credentials
        if not each.revoked and (each.credential_id, each.public_key) not in kept
    }
    return Removed(frozenset(users), frozenset(gone))


def _approving(workspace: Workspace, one: User) -> frozenset[tuple[Privilege, str]]:
    """What somebody may approve, for which wallets; nothing if she is disabled."""
    kinds = (Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS, Privilege.APPROVE_CHANGES)
    if not one.enabled:
        return frozenset()
    held = [role for role in workspace.roles if role.role in one.roles]
    return frozenset((may, wallet) for role in held for may in role.may if may in kinds for wallet in role.wallets)
