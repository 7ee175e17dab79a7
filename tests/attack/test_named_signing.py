"""The named attacks on presigning and signing, from every place: P25 to P32, P36, P39."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto import ecdsa
from oms_core.crypto.curve import G, Q, mul_base
from oms_core.errors import Unattributed
from oms_core.protocol import presign as module
from oms_core.protocol.presign_rounds import First, Ranges
from oms_core.protocol.sign import SignatureShare
from oms_core.zk import enc_elg
from tests.attack.trials import trial
from tests.parties import Lie, Split, Turn, arithmetic, at, both, channels, key, run, sessions
from tests.protocol.lies import announced, wrong_chi, wrong_delta
from tests.protocol.runs import ALL, Held, Liars, presigning, run_presign, run_signing

pytestmark = pytest.mark.attack
every_place = pytest.mark.parametrize("liar", ALL)


def presign(liars: Liars, parties: tuple[int, ...]) -> Held:
    return run_presign(liars, parties)


def signing(liars: Liars, parties: tuple[int, ...]) -> Held:
    return run_signing(liars, parties)


def oversized(bits: int, which: str) -> Lie:
    """Encrypts a k or γ far beyond its range, and proves as well as can be what is not so."""
    held: dict[str, Any] = {}

    def first(turn: Turn) -> Any:
        N, mine = turn.memory["N"], turn.memory["mine"]
        value = 1 << bits
        held["nonce"], held["b"], held["value"] = secrets.randbelow(1 << 200) | 1, turn.memory["a"], value
        if which == "k":
            bent = replace(mine, K=int(N.encrypt(value, held["nonce"])), A2=turn.memory["a"] * mine.Y + mul_base(value))
        else:
            bent = replace(mine, G=int(N.encrypt(value, held["nonce"])), B2=turn.memory["b"] * mine.Y + mul_base(value))
            held["b"] = turn.memory["b"]
        held["first"] = bent
        return bent

    def ranges(turn: Turn) -> Any:
        session, N, rp = turn.memory["session"], turn.memory["N"], turn.memory["tables"][turn.to]
        m: First = held["first"]
        C, B, X = (m.K, m.A1, m.A2) if which == "k" else (m.G, m.B1, m.B2)
        statement = enc_elg.Statement(N, C, m.Y, B, X, rp)
        slot = "enc0" if which == "k" else "enc1"
        wide = replace(session.level, ell=bits, epsilon=bits)
        proof = enc_elg.prove(
            wide,
            session.context(slot, session.me, turn.to),
            statement,
            enc_elg.Witness(held["value"], held["nonce"], held["b"]),
        )
        message: Ranges = turn.message
        return replace(message, **{"K" if which == "k" else "G": proof})

    return both(at("presign.1", first), at("presign.1", ranges, secret=True))


@pytest.mark.covers("P25", "R10")
@every_place
@pytest.mark.parametrize("which", ["k", "γ"])
def test_an_alpha_ray_is_seen_before_anything_is_multiplied(liar: int, which: str) -> None:
    outcome = trial(presign, lambda: oversized(900, which), liar)
    assert all("presign.2" not in outcome.spoke[i] for i in set(ALL) - {liar})


PRODUCTS: dict[str, Callable[[Turn, int, Any], Any]] = {
    "D of something else": lambda t, j, p: replace(
        p, made=replace(p.made, D=p.made.D * 4 % int(t.memory["of"].paillier[j].NN))
    ),
    "F of another mask": lambda t, j, p: replace(p, made=replace(p.made, F=p.made.F * 4 % int(t.memory["N"].NN))),
    "x in the place of γ": lambda t, j, p: replace(p, made=replace(p.made, D=p.made.D_hat), psi=p.psi_hat),
    "proofs exchanged": lambda t, j, p: replace(p, psi=p.psi_hat, psi_hat=p.psi),
}


@pytest.mark.covers("P26", "R11")
@every_place
@pytest.mark.parametrize("deed", PRODUCTS)
def test_a_wrong_product_names_who_multiplied(liar: int, deed: str) -> None:
    trial(presign, lambda: announced(PRODUCTS[deed]), liar)


@pytest.mark.covers("P27")
@every_place
@pytest.mark.parametrize(("step", "field"), [("presign.2", "Gamma"), ("presign.3", "Delta")])
def test_a_point_that_does_not_fit_the_ciphertext_names_its_sender(liar: int, step: str, field: str) -> None:
    trial(presign, lambda: at(step, lambda t: replace(t.message, **{field: getattr(t.message, field) + G})), liar)


@pytest.mark.covers("P28", "R17")
@every_place
@pytest.mark.parametrize("lie", [wrong_delta, wrong_chi], ids=["δ", "χ"])
def test_a_wrong_sum_under_right_proofs_convicts_its_sender_and_burns_the_presignature(
    liar: int, lie: Callable[[], Lie]
) -> None:
    outcome = trial(presign, lie, liar)
    assert outcome.results == {}


@pytest.mark.covers("P29")
@every_place
def test_a_wrong_share_of_a_signature_convicts_its_sender(liar: int) -> None:
    def wrong(turn: Turn) -> SignatureShare:
        return replace(turn.message, sigma=(turn.message.sigma + 1) % Q)

    trial(signing, lambda: at("sign.1", wrong), liar)


@pytest.mark.covers("R16", "K08")
@every_place
@pytest.mark.parametrize("step", ["presign.1", "presign.2", "presign.3"])
def test_two_stories_in_a_presigning_convict_who_tells_them(liar: int, step: str) -> None:
    victim = next(j for j in ALL if j != liar)
    changes = {
        "presign.1": lambda m: replace(m, Y=m.Y + G),
        "presign.2": lambda m: replace(m, Gamma=m.Gamma + G),
        "presign.3": lambda m: replace(m, S=m.S + G),
    }
    trial(presign, lambda: at(step, lambda t: Split({victim: changes[step](t.message)})), liar)


@pytest.mark.covers("P30", "R17")
@every_place
def test_whoever_spoils_a_session_is_convicted_the_first_time_so_there_is_no_oracle(liar: int) -> None:
    """A liar that fails at will learns whether its guess was right; here each guess costs it its place."""
    honest = set(ALL) - {liar}
    for guess in range(2):
        outcome = run_presign({liar: wrong_delta(1 + guess)})
        assert outcome.culprits(honest) == {liar}
        assert outcome.results == {}


@pytest.mark.covers("P32", "R18")
def test_a_coordinator_that_shows_different_digests_gets_no_share_from_anybody() -> None:
    """The digest is in the spec, every hello is signed for one spec, and no share leaves before all hellos are in."""
    epoch = key(3, 2)[1].public
    same = {"session_id": b"s" * 32, "key_id": epoch.key_id, "epoch_hash": epoch.hash, "protocol": "sign-online"}
    one = channels(ALL, digest=b"\x01" * 32, presignature=b"p" * 32, **same)
    two = channels(ALL, digest=b"\x02" * 32, presignature=b"p" * 32, **same)
    hellos = {1: one[1].hello(), 2: two[2].hello(), 3: one[3].hello()}
    for channel in (one[1], one[3]):
        with pytest.raises(Unattributed, match="another session"):
            channel.start(hellos)
    with pytest.raises(Unattributed, match="another session"):
        two[2].start(hellos)


@pytest.mark.covers("P36")
def test_a_party_with_constant_nonce_shares_does_not_make_the_nonce_points_less_random(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One party draws every scalar as 1; Γ is random as long as another one is."""
    seen, bits = set(), 0
    drawn = module.random_scalar
    for _ in range(30):
        made = sessions((1, 2))

        monkeypatch.setattr(module, "random_scalar", lambda: 1)
        weak = presigning(made[1])
        outgoing = next(weak)
        monkeypatch.setattr(module, "random_scalar", drawn)
        strong = presigning(made[2])
        outcome = run({1: _resumed(weak, outgoing), 2: strong})
        assert not outcome.errors, outcome.errors
        x = outcome.results[2].public.Gamma.x
        seen.add(x)
        bits += x & 1
    assert len(seen) == 30
    assert 2 < bits < 28


def _resumed(protocol: Any, outgoing: Any) -> Any:
    inbox = yield outgoing
    while True:
        try:
            inbox = yield protocol.send(inbox)
        except StopIteration as stop:
            return stop.value


@pytest.mark.covers("P37", "R23")
def test_the_other_of_two_valid_s_is_refused() -> None:
    outcome = run_signing()
    signature = outcome.results[1]
    assert signature.s <= (Q - 1) // 2
    public = key(3, 2)[1].share.public_key
    from oms_core.errors import Malformed, ProofInvalid
    from tests.protocol.runs import DIGEST

    ecdsa.verify(public, DIGEST, signature)
    with pytest.raises((ProofInvalid, Malformed)):
        ecdsa.verify(public, DIGEST, replace(signature, s=Q - signature.s, v=signature.v ^ 1))


@pytest.mark.covers("P35", "R20")
@every_place
def test_a_presignature_of_one_path_does_not_sign_under_another(liar: int) -> None:
    made = run_presign(path=(0, 1)).results[liar].public
    other = run_presign(path=(0, 2)).results[liar].public
    assert made.public_key != other.public_key
    assert made.path != other.path
    assert made.id != other.id
    assert replace(made, path=other.path).id != made.id


@pytest.mark.covers("R32", "P39")
def test_sessions_in_parallel_do_not_touch_each_other() -> None:
    """Two runs of the same parties, each round of one between the rounds of the other."""
    first, second = sessions(ALL), sessions(ALL)
    share = {i: key(3, 2)[i].share for i in ALL}
    both_runs = {
        **{i: module.presign(first[i], share[i], arithmetic(3, 2, i)) for i in ALL},
    }
    outcome = run(both_runs)
    again = run({i: module.presign(second[i], share[i], arithmetic(3, 2, i)) for i in ALL})
    assert len({o.results[1].public.id for o in (outcome, again)}) == 2
    assert outcome.results[1].public.Gamma != again.results[1].public.Gamma
