"""Lies that several tests tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from oms_core.crypto.curve import G, Q
from oms_core.protocol.presign_rounds import Products, Third, products_hash
from tests.parties import Lie, Turn


def announced(bend: Callable[[Turn, int, Products], Products]) -> Lie:
    """Sends bent products in presigning, announces just those, and remembers them as its own."""
    made: dict[int, Products] = {}

    def lie(turn: Turn) -> Any:
        if turn.step != "presign.2":
            return turn.message
        if turn.to is not None:
            return made[turn.to]
        session, sent = turn.memory["session"], turn.memory["sent"]
        made.update({j: bend(turn, j, products) for j, products in sent.items()})
        sent.update(made)
        hashes = tuple((j, products_hash(session, session.me, j, made[j].made)) for j in session.peers)
        return replace(turn.message, products=hashes)

    return lie


def sums(change: Callable[[Turn], Third]) -> Lie:
    """Bends round 3 of presigning and believes it: its own protocol goes on with what it said, into the alert."""

    def lie(turn: Turn) -> Any:
        if turn.step != "presign.3":
            return turn.message
        told = change(turn)
        for field in fields(told):
            object.__setattr__(turn.memory["closing"], field.name, getattr(told, field.name))
        return told

    return lie


def wrong_delta(shift: int = 1) -> Lie:
    return sums(lambda turn: replace(turn.message, delta=(turn.message.delta + shift) % Q))


def wrong_chi(shift: int = 1) -> Lie:
    return sums(lambda turn: replace(turn.message, S=turn.message.S + shift * G))
