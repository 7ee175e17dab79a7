"""Presigning without a liar: what no party alone can bring about, and what the caller may not ask for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from oms_core.crypto.curve import G, Q, centered
from oms_core.crypto.params import L112, TOY
from oms_core.errors import Malformed
from oms_core.protocol import presign as module
from oms_core.protocol.presign import additive_shares, presign
from oms_core.protocol.shares import Moduli
from tests.parties import arithmetic, key, run, sessions
from tests.protocol.runs import ALL, presigning, run_presign, unattributed


def scalars(monkeypatch: pytest.MonkeyPatch, values: list[int]) -> None:
    """The scalars k, γ, a, b, y of party after party."""
    source = itertools.chain(values)
    monkeypatch.setattr(module, "random_scalar", lambda: next(source))


def test_nonce_points_that_cancel_make_no_presignature(monkeypatch: pytest.MonkeyPatch) -> None:
    scalars(monkeypatch, [2, 3, 4, 5, 6, 7, Q - 3, 8, 9, 10])
    unattributed(run_presign(parties=(1, 2)), "the nonce point vanished")


def test_nonce_shares_that_cancel_make_no_presignature(monkeypatch: pytest.MonkeyPatch) -> None:
    scalars(monkeypatch, [2, 3, 4, 5, 6, Q - 2, 7, 8, 9, 10])
    unattributed(run_presign(parties=(1, 2)), "δ vanished")


@pytest.mark.parametrize("quorum", [(1, 2), (2, 3)])
def test_additive_shares_sum_to_the_tweaked_key(quorum: tuple[int, ...]) -> None:
    tweak, total = 0xABCDEF, 0
    for i in quorum:
        w, W, X = additive_shares(key(3, 2)[i].share, quorum, tweak)
        assert w == centered(w)
        assert w * G == W[i]
        total += w
    assert total * G == X == key(3, 2)[1].share.public_key + tweak * G


def test_a_quorum_that_is_none_of_the_key_is_refused() -> None:
    share = key(3, 2)[1].share
    for quorum in ((1,), (2, 3), (1, 4), ()):
        with pytest.raises(Malformed):
            additive_shares(share, quorum, 0)


@pytest.mark.parametrize("tweak", [-1, Q])
def test_a_tweak_that_is_not_reduced_is_refused(tweak: int) -> None:
    with pytest.raises(Malformed):
        additive_shares(key(3, 2)[1].share, (1, 2), tweak)


def test_a_tweak_that_cancels_the_key_is_refused() -> None:
    made = {i: key(3, 2)[i].share for i in ALL}
    x = sum(additive_shares(made[i], ALL, 0)[0] for i in ALL) % Q
    with pytest.raises(Malformed):
        additive_shares(made[1], ALL, Q - x)


def test_public_shares_that_do_not_interpolate_to_the_key_are_refused() -> None:
    share = key(3, 2)[1].share
    bent = tuple((j, X + G if j == 2 else X) for j, X in share.public_shares)
    with pytest.raises(Malformed):
        additive_shares(replace(share, public_shares=bent), (1, 2), 0)


def test_a_share_or_moduli_of_another_party_or_level_are_refused() -> None:
    made, share, aux = sessions((1, 2)), key(3, 2)[1].share, key(3, 2)[1].aux
    for bad in (
        presign(made[2], share, arithmetic(3, 2, 1)),
        presign(made[1], share, arithmetic(3, 2, 2)),
        presign(sessions((1, 2), L112)[1], share, arithmetic(3, 2, 1)),
        presign(sessions((1, 4))[1], share, arithmetic(3, 2, 1)),
        presign(sessions((1, 3))[1], share, Moduli(1, TOY, replace(aux, public=aux.public[:2]))),
    ):
        with pytest.raises(Malformed, match="moduli"):
            run({1: bad})


def test_parties_with_different_tweaks_make_no_presignature() -> None:
    made = sessions((1, 2))
    outcome = run({1: presigning(made[1], tweak=1), 2: presigning(made[2], tweak=2)})
    assert not outcome.results
