"""A wallet's key from nothing: key generation, auxiliary information, and every party's word that it has it.

Two parts, because the shell stores the material between them: nobody says that it holds a share which it could lose.
"""

from __future__ import annotations

from oms_core.protocol.auxinfo import Primes, auxinfo
from oms_core.protocol.keygen import keygen
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, ensure, speak
from oms_core.protocol.shares import KeyConfirmation, KeyMaterial


def make_key(
    session: Session, key_id: bytes, threshold: int, roster: dict[Party, bytes], primes: Primes
) -> Steps[KeyMaterial]:
    """Key generation and auxiliary information in one session. Raises `ProtocolAbort`."""
    share = yield from keygen(session, key_id, threshold, roster)
    aux = yield from auxinfo(session, primes)
    return KeyMaterial(session.level.name, share, aux)


def confirmation(wallet_id: str, material: KeyMaterial) -> KeyConfirmation:
    """What a party says about the key it has stored."""
    share = material.share
    return KeyConfirmation(
        wallet_id=wallet_id,
        key_id=share.key_id,
        public_key=share.public_key,
        chain_code=share.chain_code,
        epoch=share.epoch,
        transcript=material.epoch_hash,
        index=share.index,
    )


def check_done(record: Record, ground: None, j: Party) -> None:
    """j confirms what I confirm."""
    theirs, mine = record.said(DONE)[j], record.said(DONE)[record.session.me]
    ensure(theirs.index == j, "confirms in its own name")
    same = (theirs.wallet_id, theirs.key_id, theirs.public_key, theirs.chain_code, theirs.epoch)
    ensure(same == (mine.wallet_id, mine.key_id, mine.public_key, mine.chain_code, mine.epoch), "the same key")
    ensure(theirs.transcript == mine.transcript, "the same transcript")


DONE = Round("create.done", KeyConfirmation, Nothing, lambda _: 4096, check_done)


def acknowledge(session: Session, mine: KeyConfirmation) -> Steps[None]:
    """The last round: the key becomes usable only when all parties confirm the same. Raises `ProtocolAbort`."""
    record = Record(session)
    yield from speak(record, DONE, mine)
    blame(record, DONE, None)
