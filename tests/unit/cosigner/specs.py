"""Sessions that fit a request, and how a guard answers those that do not."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from cosigner.guard import Guard
from oms_core.chains.evm import derive, signing_digest
from oms_core.chains.intent import Intent
from oms_core.errors import CountersealError
from oms_core.evidence import ChangeRequest, ProbeRequest, Request, SignRequest, probe_digest, request_digest
from oms_core.keys import Change, ChangeKey
from oms_core.protocol.packets import Resharing, SessionSpec
from oms_core.protocol.shares import Epoch, aux_digest
from tests.people import NOW, approve, change, change_request
from tests.unit.cosigner.node import KEY_ID, material

ALL = (1, 2, 3, 4, 5)
AUX = aux_digest(material().aux)


def spec(request: Request, **changes: object) -> SessionSpec:
    """A session of the tests' key, with parties 1, 2 and 3, for this request."""
    made = SessionSpec(
        session_id=secrets.token_bytes(32),
        protocol="probe" if isinstance(request, ProbeRequest) else "sign",
        level="L112",
        key_id=KEY_ID,
        epoch=0,
        epoch_hash=material().epoch_hash,
        threshold=3,
        parties=(1, 2, 3),
        subject=request_digest(request),
        path=request.proposal.subject.path if isinstance(request, SignRequest) else (),  # type: ignore[union-attr]
        digest=signed_by(request),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def signed_by(request: Request) -> bytes:
    """What a session for this request signs."""
    if isinstance(request, ProbeRequest):
        return probe_digest(KEY_ID, material().share.public_key.to_bytes())
    if not isinstance(request, SignRequest):
        return b""
    assert isinstance(request.proposal.subject, Intent)
    return signing_digest(derive(request.proposal.subject, request.execution))


def new_moduli(request: Request, **changes: object) -> SessionSpec:
    """A session that makes the moduli of epoch 1."""
    return spec(request, **{"protocol": "aux", "epoch": 1, "epoch_hash": b"", "parties": ALL, **changes})


def dealing(request: Request, **changes: object) -> SessionSpec:
    """A session that deals epoch 1 from epoch 0; ``new_…`` changes the resharing in it."""
    new = {name.removeprefix("new_"): value for name, value in changes.items() if name.startswith("new_")}
    rest = {name: value for name, value in changes.items() if not name.startswith("new_")}
    resharing = replace(Resharing(ALL, ALL, 3, 1, AUX), **new)  # type: ignore[arg-type]
    parties = tuple(sorted({*resharing.dealers, *resharing.receivers}))
    return spec(request, **{"protocol": "reshare", "parties": parties, "resharing": resharing, **rest})


def about_the_key(wanted: Change = Change.REFRESH, **changes: object) -> ChangeKey:
    """A wish that names the tests' key as it is."""
    share = material().share
    named = {"public_key": share.public_key.to_bytes(), "chain_code": share.chain_code}
    return change(wanted, **{**named, **changes})


def deal(wish: ChangeKey | None = None, epoch: Epoch | None = None) -> ChangeRequest:
    """An approved wish to deal the key anew; with ``epoch`` for the session that does it."""
    wish = wish or about_the_key()
    return replace(change_request(wish, approve(wish, "sam"), approve(wish, "sonja")), epoch=epoch)


def refused(guard: Guard, made: SessionSpec, request: Request) -> CountersealError:
    """The guard's no."""
    with pytest.raises(CountersealError) as caught:
        guard.decide(made, request, NOW)
    return caught.value
