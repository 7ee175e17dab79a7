"""Presigning without a liar: what no party alone can bring about, and what the caller may not ask for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from oms_core.crypto.bip32 import HARDENED, tweak
from oms_core.crypto.curve import G, Q, total
from oms_core.crypto.params import L112, TOY
from oms_core.crypto.shamir import lagrange
from oms_core.errors import Malformed
from oms_core.protocol import presign as module
from oms_core.protocol import presign_rounds
from oms_core.protocol.presign import presign
from oms_core.protocol.presign_rounds import additive_shares, ground
from oms_core.protocol.shares import Epoch, Moduli
from tests.parties import arithmetic, key, run, sessions
from tests.protocol.runs import presigning, run_presign, unattributed


def epoch() -> Epoch:
    return key(3, 2)[1].public


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


@pytest.mark.parametrize("path", [(), (0,), (44, 60, 7)])
@pytest.mark.parametrize("quorum", [(1, 2), (2, 3), (1, 2, 3)])
def test_additive_shares_sum_to_the_key_of_the_path(quorum: tuple[int, ...], path: tuple[int, ...]) -> None:
    key_of_all, code = epoch().public_key, epoch().chain_code
    W, X = additive_shares(epoch(), quorum, path)
    theta = tweak(key_of_all, code, path)
    assert key_of_all + theta * G == X
    assert total(W.values()) == X
    for i in quorum:
        additive = key(3, 2)[i].share.secret * lagrange(i, quorum) + (theta if i == quorum[0] else 0)
        assert additive % Q * G == W[i]


@pytest.mark.parametrize("quorum", [(1,), (1, 4), (), (2, 3, 4)])
def test_a_quorum_that_is_none_of_the_key_is_refused(quorum: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        additive_shares(epoch(), quorum, ())


@pytest.mark.parametrize("path", [(HARDENED,), (-1,), (0,) * 9])
def test_a_path_that_has_no_public_derivation_is_refused(path: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        additive_shares(epoch(), (1, 2), path)
    with pytest.raises(Malformed):
        run({1: presigning(sessions((1, 2))[1], path)})


@pytest.mark.parametrize("quorum", [(1, 2), (2, 3)])
def test_a_path_that_makes_the_key_or_a_share_vanish_is_refused(
    monkeypatch: pytest.MonkeyPatch, quorum: tuple[int, ...]
) -> None:
    additive = {i: key(3, 2)[i].share.secret * lagrange(i, quorum) for i in quorum}
    for vanishing in (sum(additive.values()), additive[quorum[0]]):
        monkeypatch.setattr(presign_rounds, "tweak", lambda *_, theta=-vanishing % Q: theta)
        with pytest.raises(Malformed, match="vanished"):
            additive_shares(epoch(), quorum, (1,))


def test_public_shares_that_do_not_interpolate_to_the_key_are_refused() -> None:
    bent = tuple((j, X + G if j == 2 else X) for j, X in epoch().public_shares)
    with pytest.raises(Malformed):
        additive_shares(replace(epoch(), public_shares=bent), (1, 2), ())


def test_an_epoch_without_the_moduli_of_a_signer_is_refused() -> None:
    with pytest.raises(Malformed, match="moduli"):
        ground(replace(epoch(), aux=epoch().aux[:2]), (1, 3), ())


def test_a_share_or_moduli_of_another_party_or_level_are_refused() -> None:
    made, share, aux = sessions((1, 2)), key(3, 2)[1].share, key(3, 2)[1].aux
    for bad in (
        presign(made[2], share, arithmetic(3, 2, 1)),
        presign(made[1], share, arithmetic(3, 2, 2)),
        presign(sessions((1, 2), L112)[1], share, arithmetic(3, 2, 1)),
        presign(sessions((1, 4))[1], share, arithmetic(3, 2, 1)),
        presign(sessions((1, 3))[1], share, Moduli(1, TOY, replace(aux, public=aux.public[:2]))),
        presign(made[1], replace(share, secret=share.secret + 1), arithmetic(3, 2, 1)),
    ):
        with pytest.raises(Malformed):
            run({1: bad})


def test_parties_with_different_paths_make_no_presignature() -> None:
    made = sessions((1, 2))
    outcome = run({1: presigning(made[1], (1,)), 2: presigning(made[2], (2,))})
    assert not outcome.results
