"""Putting attempts before nodes, and what every attempt has to come to; the same for one attempt and for thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from oms_core.errors import Reason
from oms_core.protocol.packets import SessionSpec
from tests.attack.coordinator import approvals, orders, sessions, tricked  # noqa: F401 - their lies are registered by that
from tests.attack.coordinator.lies import LIES, Lie
from tests.attack.coordinator.nodes import Five, Honest
from tests.attack.coordinator.oracle import objections
from tests.attack.coordinator.scene import Attempt, Scene

NOT_TOGETHER = (Reason.INTENT_TX_MISMATCH, Reason.MALFORMED, Reason.SIGNATURE_INVALID, Reason.CHALLENGE_MISMATCH)
NOT_IN_RULES = (Reason.NO_PERMIT, Reason.OPAQUE_CALL, Reason.ACTION_MISMATCH, Reason.UNLIMITED_ALLOWANCE)
COMPOSED = frozenset((*NOT_TOGETHER, *NOT_IN_RULES, Reason.CHAIN_MISMATCH))
"""Lies upon lies may not fit together; and people may be asked about an order that was swapped before."""
PROPOSES = {"desk-1": "desk", "ivan-1": "ivan", "sam-1": "sam"}
"""Whose each proposal key is that the workspace has."""


@dataclass
class Tally:
    """What was tried: how often each lie was told, how often each reason was given, and how much was signed."""

    told: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    decisions: int = 0
    signed: int = 0


def hostile(scene: Scene, parties: tuple[int, ...], lies: Iterable[Lie], stolen: bool) -> Attempt:
    """A legal order with legal approvals, and then these lies, one upon the other."""
    attempt = replace(scene.legal(), parties=parties, stolen=stolen)
    for lie in lies:
        attempt = lie.tell(scene, attempt)
    return attempt


def some_lies(scene: Scene) -> list[Lie]:
    """One to three of them."""
    return scene.random.sample(list(LIES.values()), scene.random.choice((1, 1, 2, 3)))


def session_at(spec: SessionSpec, attempt: Attempt, parties: tuple[int, ...]) -> SessionSpec:
    """The session with this quorum, unless the attempt lies about the quorum itself."""
    return spec if "parties" in attempt.spec else replace(spec, parties=parties)


def expected(attempt: Attempt) -> frozenset[Reason]:
    """Why it may be refused: for what one lie is refused for, or, of several, for what they come to together."""
    reasons = frozenset(reason for name in attempt.done for reason in LIES[name].expected(attempt))
    return reasons | COMPOSED | mixed_up(attempt) if len(attempt.done) > 1 else reasons


def mixed_up(attempt: Attempt) -> frozenset[Reason]:
    """What none of the lies is refused for, and what they have made of the proposal between them is.

    One of them exchanges the initiator and another one the key: whose signature it has to be is asked before whether it
    is one, so a key that is not the initiator's is refused as such, however well it has signed.
    """
    whose = PROPOSES.get(attempt.proposal.key_id)
    return frozenset() if whose == attempt.proposal.subject.initiator else frozenset((Reason.CREDENTIAL_UNKNOWN,))


def every_honest_node_refuses(
    scene: Scene,
    five: Five,
    attempt: Attempt,
    quorums: Iterable[tuple[int, ...]],
    corrupt: tuple[int, ...],
    tally: Tally,
) -> None:
    """Each honest node of each quorum says no, for a reason that one of the lies gives, unless nothing is wrong.

    Lies may undo each other; whether what is left is authorised is the oracle's to say, and nodes have to agree.
    """
    allowed = expected(attempt)
    request = scene.request(attempt)
    spec = scene.session(attempt, request)
    tally.attempts += 1
    tally.told.update(attempt.done)
    for parties in quorums:
        for index in set(parties) - set(corrupt):
            asked = session_at(spec, attempt, parties)
            wrong = objections(scene, request, asked, index)
            reason = five.nodes[index].asked(asked, request, scene.now)
            tally.decisions += 1
            assert (reason is None) == (not wrong), (attempt.done, attempt.stolen, index, reason, wrong)
            if reason is not None:
                assert reason in allowed, (attempt.done, attempt.stolen, index, reason)
                tally.reasons[reason] += 1


def the_legal_order_is_signed(scene: Scene, five: Five, parties: tuple[int, ...], corrupt: tuple[int, ...]) -> None:
    """After all that, an order that is as it should be is taken part in, and committed to, by every honest node."""
    attempt = replace(scene.legal(), parties=parties)
    request = scene.request(attempt)
    spec = scene.session(attempt, request)
    for index in set(parties) - set(corrupt):
        assert not objections(scene, request, spec, index)
        node: Honest = five.nodes[index]
        assert node.signs(spec, request, scene.now) is None, attempt.intent
