"""What is known about the world when a decision is made, and where each fact is from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oms_core.encoding import document
from oms_core.policy.rules import Action

FEE = -1  # in the place of an operation's index


class Provenance(StrEnum):
    """Who says so. A CLAIMED fact may add an objection, never remove one."""

    OWN = "OWN"
    ATTESTED = "ATTESTED"
    CLAIMED = "CLAIMED"


@dataclass(frozen=True, slots=True)
class Spend:
    """What an operation lets out, or allows to be taken, at Unix second ``at``, for the 32-byte subject.

    ``operation`` is its index in the order: each is counted once, and one that lets nothing out is there with amount 0
    and no asset, to be counted. It is `FEE` for the most that the order may pay as fee, which is no operation of its
    own. ``amount`` is in base units of ``asset``, ``usd_micro`` what it was worth then (-1: unknown). ``destination``
    is the operation's counterparty, ``protocol`` the one of the registry, or empty; of a fee those of the outermost.
    """

    subject: bytes
    operation: int
    action: Action
    wallet_id: str
    initiator: str
    chain: str
    destination: bytes
    protocol: str
    asset: str
    amount: int
    usd_micro: int
    at: int


@document("observation/1")
class Observation:
    """A fact about the world that a rule may name, such as ``simulation.slippage_bps``, and who says so.

    ``operation`` is the index of the operation that it is about, -1 for the whole order.
    """

    name: str
    operation: int
    value: int | str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Facts:
    """The time (Unix seconds), the known outflows, and what was observed. What is not there is unknown.

    ``seen_at`` is when whoever decides first saw the subject, by its own clock: what a delay counts from. ``share``
    above 1 means that so few witnesses vouch for the past that there may be so many of it: windowed limits count one
    part in ``share``, and approvals have to name the exact transaction.

    ``logged_at`` is when the subject was last authorised in the log, from when on it counts for others; so all that
    rules themselves say of time is held against that, however much later it is signed: see `counts_at`. None where it
    is in no log: those of now.
    """

    now: int
    spent: tuple[Spend, ...] = ()
    observed: tuple[Observation, ...] = ()
    seen_at: int | None = None
    share: int = 1
    logged_at: int | None = None

    @property
    def counts_at(self) -> int:
        """The Unix second of rules: their windows, hours and ages, and from when to when they are in force.

        It is the same at all nodes, whenever each of them looks. What people have said an end of, which is an order,
        an approval or an entry of the registry, ends by ``now``, each node's own clock; and delays are over by that.
        """
        return self.now if self.logged_at is None else self.logged_at
