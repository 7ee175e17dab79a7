"""What a node's answer to a transaction means, read from its words.

Clients agree on few codes (-32005 is a rate limit after EIP-1474, and a gas limit in Besu), and on most words: geth,
Nethermind, Erigon, Besu, reth and anvil each have texts of their own for the same few things. What no row below knows
passes: what ends an order is known for certain, by all nodes, or it waits where people see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oms_core.errors import Reason

_LONGEST = 300  # characters of what a node says


class Fate(StrEnum):
    """What becomes of bytes that a node was shown."""

    DONE = "DONE"  # it has them, or their block has
    USED = "USED"  # their nonce is used; by them or by others, the chain says
    PASSES = "PASSES"  # it may take them later: what is in the way can pass, by itself or by what people do
    STAYS = "STAYS"  # no block can ever hold them


@dataclass(frozen=True, slots=True)
class Said:
    """A node's answer, or what several come to; ``reason`` is empty where the bytes are taken."""

    fate: Fate
    reason: str
    words: str


TAKEN = Said(Fate.DONE, "", "")

# In this order: what is told apart by more words comes before what is told apart by fewer.
_ROWS: tuple[tuple[Fate, Reason, tuple[str, ...]], ...] = (
    (
        Fate.DONE,
        Reason.BROADCAST_REJECTED,
        (
            r"\balready ?(known|imported|exists in)",
            r"\bknown transaction",  # and not "unknown transaction type"
            r"existing txn? with same hash",
            r"already in (the )?(mem|tx)?pool",
        ),
    ),
    (
        Fate.USED,
        Reason.NONCE_CONFLICT,
        (
            r"nonce (is )?too low",
            r"\bold ?nonce",
            r"nonce .*below sender account nonce",
            r"nonce has already been used",
        ),
    ),
    (
        Fate.STAYS,
        Reason.CHAIN_MISMATCH,
        (
            r"(invalid|wrong|incompatible) chain ?id",
            r"chain ?id (not supported|is required|mismatch)",
            r"signed for another chain",
        ),
    ),
    (
        Fate.STAYS,
        Reason.SIGNATURE_INVALID,
        (
            r"invalid sender",
            r"^invalid signature",  # a provider may dislike other signatures, further on in its text
            r"invalid transaction (signature|v, r, s)",
            r"failed ?to ?(recover|resolve) ?sender",
        ),
    ),
    (
        Fate.STAYS,
        Reason.GAS_UNSUITABLE,
        (
            r"intrinsic ?gas",
            r"floor data gas",
            r"exceeds? (the )?block('s)? gas ?limit",
            r"(greater|more|higher) than (the )?block gas limit",
            r"block gas limit exceeded",
            r"gas ?limit ?exceeded",
            r"gas limit (is )?(reached|too high)",
            r"exceeds (max|per.) ?transaction gas limit",
        ),
    ),
    (
        Fate.STAYS,
        Reason.BROADCAST_REJECTED,
        (
            r"oversized data",
            r"transaction too large",
            r"max ?tx ?size ?exceeded",
            r"init ?code (size exceeded|too large|too big)",
            r"max priority fee per gas (is )?(higher|exceeds|greater)",
            r"decode (signed |raw )?transaction",
            r"\brlp: ",
            r"typed transaction too short",
            r"negative value",
            r"nonce has max value",
            r"(gas uint64|transaction cost) overflow",
        ),
    ),
    (
        Fate.PASSES,
        Reason.NONCE_CONFLICT,
        (
            r"replacement transaction underpriced",
            r"(gas price|not enough|low) to replace",
            r"could not replace",
            r"replacement ?not ?allowed",
            r"replaced by transaction",
            r"tries to replace pending",
            r"nonce (is )?too (high|far|distant)",
            r"too distant from current sender nonce",
            r"nonce ?gap|gapped.nonce",
            r"lower nonce",
        ),
    ),
    (
        Fate.PASSES,
        Reason.INSUFFICIENT_FUNDS,
        (
            r"(insufficient|enough) ?(funds|balance|sender balance)",
            r"insufficient maxfeepergas for sender balance",
            r"cost .*exceeds .*balance",
        ),
    ),
    (
        Fate.PASSES,
        Reason.FEE_EXCEEDED,
        (
            r"under ?priced",
            r"fee ?too ?low",
            r"fee cap less than",
            r"max fee per gas less than",
            r"gas price (is )?(below|too low)",
            r"below (the )?(current|configured) (blob )?(base|minimum)",
            r"below minimum required",
        ),
    ),
    (
        Fate.PASSES,
        Reason.CHAIN_UNAVAILABLE,
        (
            r"pool (is )?(full|overflow)|txpooloverflow|poo?l limit",
            r"pool (already terminated|not enabled|disabled)",
            r"\bsync",
            r"indexing is in progress",
            r"rate.?limit|limit (is )?(reached|exceeded)|too many requests|(rate|count|quota|capacity|units).*exceed",
            r"exceed.*(rate|count|quota|capacity|units)\b",
            r"time.?out|timed out|deadline exceeded",
            r"(internal|server|service|gateway|temporar).*(error|unavailable)",
            r"header not found|missing trie node|state .*not available|world state",
            r"try again|overloaded|\bbusy\b|connection",
        ),
    ),
)
_TABLE = tuple((fate, reason, re.compile("|".join(words))) for fate, reason, words in _ROWS)
_TROUBLE = frozenset({-32700, -32604, -32603, -32601, -32097, -32029, -32016, -32005, -32002, 408, 429, 500, 502, 503})
_EXECUTED = re.compile(r"revert|vm |evm|out of gas|opcode")


def meaning(code: int, message: str) -> Said:
    """What a node's error comes to. Pure, and total: any words mean something."""
    words, text = message[:_LONGEST], message.lower()[: 4 * _LONGEST]
    for fate, reason, pattern in _TABLE:
        if pattern.search(text):
            return TAKEN if fate is Fate.DONE else Said(fate, reason, f"the node answered: {words}")
    reason = Reason.CHAIN_UNAVAILABLE if code in _TROUBLE else Reason.BROADCAST_REJECTED
    return Said(Fate.PASSES, reason, f"the node answered: {words or f'error {code}'}")


def is_trouble(code: int, message: str) -> bool:
    """Whether an error speaks of the node, not of what it was asked: another may do better, or it itself later."""
    said, executed = meaning(code, message), _EXECUTED.search(message.lower())  # a contract's words are not the node's
    return said.fate is Fate.PASSES and said.reason == Reason.CHAIN_UNAVAILABLE and not executed


def weigh(answers: Iterable[Said]) -> Said:
    """What several nodes come to, in order of preference, that were shown the same bytes.

    One that has them is enough; that no block can ever hold them, all have to say, also those that did not answer.
    """
    said = sorted(
        answers, key=lambda one: one.reason == Reason.CHAIN_UNAVAILABLE
    )  # who has something to say comes first
    if not said:
        return Said(Fate.PASSES, Reason.CHAIN_UNAVAILABLE, "no chain node answers")
    for fate in (Fate.DONE, Fate.USED):
        if found := [one for one in said if one.fate is fate]:
            return found[0]
    stays = [one for one in said if one.fate is Fate.STAYS]
    if stays and len(stays) < len(said):
        return Said(Fate.PASSES, stays[0].reason, f"{len(stays)} of {len(said)} nodes: {stays[0].words}")
    return said[0]
