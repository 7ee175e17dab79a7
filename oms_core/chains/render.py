"""The plain sentences that a person reads. Every cosigner makes them itself; the digest of what it read is approved."""

from __future__ import annotations

from oms_core.chains.describe import describe
from oms_core.chains.intent import CreateWallet, Intent, Subject
from oms_core.encoding import digest, document
from oms_core.errors import Malformed
from oms_core.keys import Change, ChangeKey
from oms_core.workspace import ChangeWorkspace, Workspace, member, user
from oms_core.workspace.sentences import sentences
from oms_core.workspace.words import time_words


@document("rendering/1")
class Rendering:
    """Sentences in the order in which they are to be read."""

    lines: tuple[str, ...]


def render(subject: Subject, workspace: Workspace) -> Rendering:
    """What a subject means, with the workspace's names; every field of the subject is in it.

    Raises `NotFound` for an unknown initiator or cosigner, what `oms_core.chains.effects.operations` raises about an
    order, and `Malformed` for what cannot be shown faithfully: a negative amount, a time beyond the calendar, names
    that look like others', control or direction-changing characters (which could hide or reorder what a person reads).
    A caller may have a subject that nobody has checked yet.
    """
    match subject:
        case Intent():
            told = describe(subject, workspace)
        case CreateWallet():
            told = _wallet(subject, workspace)
        case ChangeKey():
            told = _change(subject, workspace)
        case ChangeWorkspace():
            told = (*sentences(workspace, subject.next), f"This is change {subject.change_id}.")
    who = user(workspace, subject.initiator)
    lines = (
        *told,
        f"Asked for by {who.name} ({who.user_id}, team {who.team}).",
        f"Reason given: {subject.purpose or 'none'}.",
        f"Valid from {time_words(subject.valid_from)} until {time_words(subject.valid_until)}.",
    )
    if not all(line.isprintable() for line in lines):
        raise Malformed("control characters cannot be shown")
    return Rendering(lines)


def rendering_digest(rendering: Rendering) -> bytes:
    """32 bytes that stand for what was read."""
    return digest("rendering", rendering)


def _wallet(wish: CreateWallet, workspace: Workspace) -> tuple[str, ...]:
    last = "backups of a quorum have signed a test" if wish.drill else "a quorum has signed a test"
    return (
        f"Create wallet {wish.wallet_id} named {wish.label}, security level {wish.level}.",
        _committee(wish.threshold, wish.parties, workspace),
        f"It becomes active when {last}.",
    )


_CHANGES = {
    Change.REFRESH: "Deal the key of wallet {} anew to the cosigners that hold it; old shares are destroyed.",
    Change.RESHARE: "Deal the key of wallet {} to other cosigners or another threshold; old shares are destroyed.",
    Change.SUSPEND: "Suspend the key of wallet {}: it signs nothing until it is resumed.",
    Change.RESUME: "Resume the key of wallet {}: it signs again.",
    Change.DEACTIVATE: "Deactivate the key of wallet {}: it never signs again.",
    Change.COMPROMISE: "Declare the key of wallet {} compromised: it never signs again.",
    Change.DESTROY: "Destroy the key of wallet {}: what it holds is LOST FOR EVER.",
}


def _change(wish: ChangeKey, workspace: Workspace) -> tuple[str, ...]:
    what = (
        _CHANGES[wish.change].format(wish.wallet_id),
        f"This is about epoch {wish.epoch} of the public key {wish.public_key.hex()}.",
        f"Its id is {wish.key_id.hex()}, its chain code {wish.chain_code.hex()}.",
    )
    if not wish.parties and not wish.threshold:
        return what
    return (*what, _committee(wish.threshold, wish.parties, workspace))


def _committee(threshold: int, parties: tuple[int, ...], workspace: Workspace) -> str:
    names = ", ".join(f"{j} {member(workspace, j).name}" for j in parties)
    return f"Any {threshold} of {len(parties)} cosigners sign: {names}."
