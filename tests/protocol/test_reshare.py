"""Resharing and refresh: the same key under new shares, for whoever it is dealt to."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from oms_core.crypto.curve import G, Q, mul_base
from oms_core.crypto.ecdsa import verify
from oms_core.crypto.params import TOY
from oms_core.crypto.shamir import interpolate, lagrange
from oms_core.errors import Malformed
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.packets import Resharing
from oms_core.protocol.presign import presign
from oms_core.protocol.reshare import reshare
from oms_core.protocol.rounds import Session, Steps
from oms_core.protocol.shares import KeyMaterial, KeyShare, Moduli, check_material
from oms_core.protocol.sign import sign
from tests.parties import key, roster, run, sessions
from tests.primes import primes
from tests.protocol.runs import ALL, DIGEST, play, run_refresh, run_reshare
from tests.protocol.runs import resharing as to

RESHARINGS: dict[str, tuple[int, int, Resharing]] = {
    "a refresh of 2 of 3": (3, 2, to((1, 2, 3), (1, 2, 3), 2)),
    "a refresh of 3 of 5": (5, 3, to((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 3)),
    "a refresh by a quorum of 3 of 5": (5, 3, to((1, 3, 4), (1, 2, 3, 4, 5), 3)),
    "a higher threshold": (3, 2, to((1, 2, 3), (1, 2, 3), 3)),
    "a lower threshold": (5, 3, to((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 2)),
    "a lost node replaced under a new index": (3, 2, to((1, 2), (1, 2, 4), 2)),
    "two lost nodes and a lower threshold": (5, 3, to((1, 2, 4), (1, 2, 4), 2)),
    "a larger committee": (3, 2, to((1, 2, 3), (1, 2, 3, 4, 5), 3)),
    "a committee of others": (3, 2, to((2, 3), (4, 5, 6), 2)),
    "dealers who leave": (4, 3, to((1, 2, 4), (1, 5, 6), 2)),
}


@pytest.mark.parametrize("name", RESHARINGS)
def test_the_same_key_is_dealt_anew(name: str) -> None:
    n, t, new = RESHARINGS[name]
    outcome = run_reshare(new, n, t)
    assert not outcome.errors
    old = key(n, t)[1].share
    assert {i for i, share in outcome.results.items() if share is not None} == set(new.receivers)
    shares = {i: outcome.results[i] for i in new.receivers}
    assert len({(s.public_key, s.public_shares, s.rid, s.chain_code, s.roster) for s in shares.values()}) == 1
    for i, share in shares.items():
        assert (share.index, share.threshold, share.epoch, share.key_id) == (i, new.threshold, new.epoch, old.key_id)
        assert (share.public_key, share.chain_code) == (old.public_key, old.chain_code)
        assert share.parties == tuple(j for j, _ in share.roster) == new.receivers
        assert mul_base(share.secret) == dict(share.public_shares)[i]
        assert share.rid != old.rid
    for quorum in combinations(new.receivers, new.threshold):
        assert interpolate({j: dict(shares[quorum[0]].public_shares)[j] for j in quorum}) == old.public_key
        assert secret(shares, quorum) == old.public_key
    for few in combinations(new.receivers, new.threshold - 1):
        assert secret(shares, few) != old.public_key


def secret(shares: dict[int, KeyShare], quorum: tuple[int, ...]) -> Any:
    """The key that these shares interpolate to."""
    return mul_base(sum(shares[j].secret * lagrange(j, quorum) for j in quorum) % Q)


@pytest.mark.parametrize("name", ["a refresh of 2 of 3", "a refresh of 3 of 5", "two lost nodes and a lower threshold"])
def test_old_and_new_shares_do_not_mix(name: str) -> None:
    n, t, new = RESHARINGS[name]
    fresh = run_reshare(new, n, t).results
    old = {i: key(n, t)[i].share for i in key(n, t)}
    for quorum in combinations(new.receivers, t):
        for kept in range(1, t):
            mixed = {j: (old if place < kept else fresh)[j] for place, j in enumerate(quorum)}
            assert secret(mixed, quorum) != old[1].public_key
    assert not {share.secret for share in fresh.values()} & {share.secret for share in old.values()}


def test_each_refresh_makes_other_shares() -> None:
    first, second = run_refresh().results, run_refresh().results
    assert not {share.secret for share in first.values()} & {share.secret for share in second.values()}
    assert first[1].rid != second[1].rid


@pytest.mark.parametrize(
    "name", ["a refresh of 2 of 3", "a lost node replaced under a new index", "a higher threshold"]
)
def test_new_shares_sign_with_new_moduli_and_refresh_once_more(name: str) -> None:
    n, t, new = RESHARINGS[name]
    fresh = run_reshare(new, n, t).results
    made = play(lambda s: auxinfo(s, primes(TOY, s.me % 5 + 1)), parties=new.receivers, protocol="reshare").results
    material = {i: KeyMaterial(TOY.name, fresh[i], made[i]) for i in new.receivers}
    for one in material.values():
        check_material(one)
    epoch = material[new.receivers[0]].public
    assert {one.public.hash for one in material.values()} == {epoch.hash}
    assert epoch.hash != key(n, t)[1].epoch_hash
    quorum = new.receivers[-new.threshold :]

    def signing(session: Session) -> Steps[Any]:
        own = Moduli(session.me, TOY, material[session.me].aux)
        presignature = yield from presign(session, material[session.me].share, own)
        return (yield from sign(session, presignature, DIGEST))

    outcome = play(signing, None, quorum, epoch=epoch, protocol="sign", digest=DIGEST)
    assert not outcome.errors
    verify(key(n, t)[1].share.public_key, DIGEST, outcome.results[quorum[0]])

    again = to(new.receivers, new.receivers, new.threshold, 2)
    made_of = {i: reshare(s, epoch, again, fresh[i], roster(new.receivers)) for i, s in sessions(new.receivers).items()}
    assert {share.epoch for share in run(made_of).results.values()} == {2}


def test_shares_of_different_epochs_make_no_presignature() -> None:
    fresh, old = run_refresh().results, key(3, 2)
    made = sessions((1, 2))

    def mixed(i: int) -> Steps[Any]:
        share = fresh[i] if i == 1 else old[i].share
        return presign(made[i], share, Moduli(i, TOY, old[i].aux))

    assert not run({i: mixed(i) for i in made}).results


def refused(new: Resharing, me: int = 1, session: Session | None = None, share: Any = "mine", **epoch: Any) -> None:
    parties = tuple(sorted({*new.dealers, *new.receivers}))
    mine = (key(3, 2)[me].share if me in new.dealers else None) if share == "mine" else share
    protocol = reshare(
        session or sessions(parties)[me], replace(key(3, 2)[1].public, **epoch), new, mine, roster(new.receivers)
    )
    with pytest.raises(Malformed):
        run({me: protocol})


def test_a_resharing_that_does_not_fit_its_session_or_key_is_refused() -> None:
    old = key(3, 2)
    refused(to((1,), (1, 2, 3), 2))
    refused(to((1, 2), (1, 2), 2), session=sessions(ALL)[1])
    refused(to((1, 2, 3), (1, 2, 3), 2), session=sessions((1, 2))[1])
    refused(to((1, 4), (1, 2, 3), 2))
    refused(to((1, 2), (1, 2, 3), 2), share=None)
    refused(to((1, 2), (1, 2, 3), 2), me=3, share=old[3].share)
    refused(to((1, 2), (1, 2, 3), 2), share=old[2].share)
    refused(to((1, 2), (1, 2, 3), 2), share=key(4, 3)[1].share)
    refused(to((1, 2), (1, 2, 3), 2), share=replace(old[1].share, epoch=1))
    refused(to((1, 2), (1, 2, 3), 2), share=replace(old[1].share, secret=old[1].share.secret + 1))
    refused(to((1, 2), (1, 2, 3), 2), share=replace(old[1].share, key_id=bytes(32)))
    refused(to((1, 2), (1, 2, 3), 2), epoch=1)
    refused(to((1, 2), (1, 2, 3), 2), threshold=3)
    refused(to((1, 2), (1, 2, 3), 2), public_key=G)
    bent = tuple((j, X + G if j == 2 else X) for j, X in old[1].share.public_shares)
    refused(to((1, 2), (1, 2, 3), 2), public_shares=bent)


def test_a_share_of_the_epoch_before_does_not_deal_in_this_one() -> None:
    fresh = run_refresh().results
    epoch = fresh[1].public(key(3, 2)[1].aux)
    new = to((1, 2), (1, 2, 3), 2, 2)
    for share in (key(3, 2)[1].share, replace(key(3, 2)[1].share, epoch=1)):
        with pytest.raises(Malformed):
            run({1: reshare(sessions(ALL)[1], epoch, new, share, roster(ALL))})


def test_parties_that_mean_another_epoch_of_the_key_do_not_reshare_it_together() -> None:
    fresh = run_refresh().results
    made, new = sessions(ALL), to(ALL, ALL, 2, 2)
    epochs = {i: (fresh[i].public(key(3, 2)[i].aux) if i == 1 else key(3, 2)[i].public) for i in ALL}
    shares = {i: fresh[i] if i == 1 else key(3, 2)[i].share for i in ALL}
    outcome = run({i: reshare(made[i], epochs[i], new, shares[i], roster(ALL)) for i in ALL})
    assert not outcome.results
