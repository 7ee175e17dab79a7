"""Lies that several tests tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    """Bends round 3 of presigning and goes on as one who had meant it, so that an alert finds it in its place."""
    told: list[Third] = []

    def lie(turn: Turn) -> Any:
        if turn.step == "presign.3":
            told.append(change(turn))
            return told[-1]
        if turn.step == "presign.3.echo":
            turn.memory["M3"][turn.memory["me"]] = told[-1]
        return turn.message

    return lie


def wrong_delta(shift: int = 1) -> Lie:
    return sums(lambda turn: replace(turn.message, delta=(turn.message.delta + shift) % Q))


def wrong_chi(shift: int = 1) -> Lie:
    return sums(lambda turn: replace(turn.message, S=turn.message.S + shift * G))
