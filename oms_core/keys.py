"""A key's life, after NIST SP 800-57 part 1, 8.2.4: its states, what may follow what, and the wish for a change."""

from __future__ import annotations

from enum import StrEnum

from oms_core.encoding import digest, document
from oms_core.errors import Malformed, Reason, Refused


class KeyState(StrEnum):
    """A key's state at one node. Only ACTIVE keys sign transactions.

    PENDING is before the standard's first: sealed here, not yet known to be held by all who have to hold it.
    """

    PENDING = "PENDING"
    PRE_ACTIVE = "PRE_ACTIVE"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DEACTIVATED = "DEACTIVATED"
    COMPROMISED = "COMPROMISED"
    DESTROYED = "DESTROYED"


MAX_EPOCH = 1 << 31
_S = KeyState
NEXT: dict[KeyState, frozenset[KeyState]] = {
    _S.PENDING: frozenset({_S.PRE_ACTIVE, _S.ACTIVE, _S.SUSPENDED}),
    _S.PRE_ACTIVE: frozenset({_S.ACTIVE, _S.COMPROMISED, _S.DESTROYED}),
    _S.ACTIVE: frozenset({_S.SUSPENDED, _S.DEACTIVATED, _S.COMPROMISED}),
    _S.SUSPENDED: frozenset({_S.ACTIVE, _S.DEACTIVATED, _S.COMPROMISED}),
    _S.DEACTIVATED: frozenset({_S.COMPROMISED, _S.DESTROYED}),
    _S.COMPROMISED: frozenset({_S.DESTROYED}),
    _S.DESTROYED: frozenset(),
}


class Change(StrEnum):
    """What can be asked for a key: to be dealt anew, or to be moved to another state."""

    REFRESH = "REFRESH"
    RESHARE = "RESHARE"
    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    DEACTIVATE = "DEACTIVATE"
    COMPROMISE = "COMPROMISE"
    DESTROY = "DESTROY"


LEADS_TO: dict[Change, KeyState] = {
    Change.SUSPEND: _S.SUSPENDED,
    Change.RESUME: _S.ACTIVE,
    Change.DEACTIVATE: _S.DEACTIVATED,
    Change.COMPROMISE: _S.COMPROMISED,
    Change.DESTROY: _S.DESTROYED,
}
DEALS = frozenset({Change.REFRESH, Change.RESHARE})


def advance(was: KeyState, to: KeyState) -> None:
    """Raises `Refused` (WRONG_STATE) for a transition that there is not."""
    if to not in NEXT[was]:
        raise Refused(f"a key does not go from {was} to {to}", Reason.WRONG_STATE)


@document("change-key/1")
class ChangeKey:
    """A wish to change a wallet's key. ``epoch`` is the one that it changes: later ones are not meant.

    The key is named by its id, its public key (33 bytes, SEC1) and its chain code, so that a node which does not hold
    it yet can be shown no other. ``parties`` (roster indices, ascending) and ``threshold`` are those after a RESHARE;
    empty and 0 otherwise.
    """

    wallet_id: str
    key_id: bytes
    public_key: bytes
    chain_code: bytes
    change: Change
    epoch: int
    threshold: int
    parties: tuple[int, ...]
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int


def check_change(wish: ChangeKey) -> None:
    """The shape of a wish. Raises `Malformed`."""
    if not 0 <= wish.epoch < MAX_EPOCH:
        raise Malformed("an epoch is not negative, and below 2^31")
    if (len(wish.key_id), len(wish.public_key), len(wish.chain_code)) != (32, 33, 32):
        raise Malformed("a key is named by its id, its public key and its chain code")
    if wish.change is Change.RESHARE:
        check_committee(wish.parties, wish.threshold)
    elif wish.parties or wish.threshold:
        raise Malformed("only a RESHARE names parties and a threshold")


def check_committee(parties: tuple[int, ...], threshold: int) -> None:
    """Ascending indices, and a threshold of more than half of them. Raises `Malformed`."""
    n = len(parties)
    if len(set(parties)) != n or list(parties) != sorted(parties) or any(not 1 <= j < 1 << 16 for j in parties):
        raise Malformed("parties are different roster indices, ascending")
    if not 2 <= threshold <= n or 2 * threshold <= n:
        raise Malformed("the threshold is more than half of the parties, and at least 2")


@document("key-receipt/1")
class KeyReceipt:
    """A node's word that ``epoch`` of a key is in ``state`` there: DESTROYED means that its share cannot be read again.

    ``subject`` is the digest of the wish, or of the certificate, that asked for it.
    """

    wallet_id: str
    key_id: bytes
    epoch: int
    state: KeyState
    subject: bytes
    index: int
    at: int


@document("signed-key-receipt/1")
class SignedKeyReceipt:
    """A receipt under the node's identity key, domain ``key-receipt``."""

    receipt: KeyReceipt
    signature: bytes


def certificate_digest(confirmations: tuple[object, ...]) -> bytes:
    """32 bytes that stand for everybody's confirmation of a new epoch."""
    return digest("epoch certificate", list(confirmations))
