"""The named attacks on key generation, moduli and resharing, from every place: K01 to K16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q, mul_base, random_scalar
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import TOY
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.protocol import auxinfo, keygen, reshare
from oms_core.protocol.packets import Resharing
from oms_core.protocol.rounds import resume
from oms_core.zk import sch
from tests.attack.trials import trial
from tests.parties import Lie, Split, Turn, at, both, key, roster, sessions
from tests.primes import primes
from tests.protocol.runs import ALL, Held, Liars, run_auxinfo, run_keygen, run_refresh

pytestmark = pytest.mark.attack
every_place = pytest.mark.parametrize("liar", ALL)


def generation(liars: Liars, parties: tuple[int, ...]) -> Held:
    return run_keygen(liars, 2, parties)


def moduli(liars: Liars, parties: tuple[int, ...]) -> Held:
    return run_auxinfo(liars, parties)


def refreshing(liars: Liars, parties: tuple[int, ...]) -> Held:
    return run_refresh(liars)


def committed(step: str, module: Any, change: Callable[[Any, Turn], Any]) -> Lie:
    """Commits to an opening that is out of shape, and opens just that."""

    def bent(turn: Turn) -> Any:
        return change(turn.memory["mine"], turn)

    def commit(turn: Turn) -> Any:
        session = turn.memory["session"]
        return module.Commit(module.commitment(session.ssid, session.me, bent(turn)))

    return both(at(f"{step}.1", commit), at(f"{step}.2", bent))


@pytest.mark.covers("K01")
@every_place
def test_a_contribution_that_is_chosen_after_the_others_are_seen_names_who_chose_it(liar: int) -> None:
    rogue = mul_base(random_scalar())
    trial(generation, lambda: at("keygen.2", lambda t: replace(t.message, F=(rogue, *t.message.F[1:]))), liar)


@pytest.mark.covers("K02", "R14")
@every_place
def test_a_commitment_that_is_made_in_anothers_name_names_who_uses_it(liar: int) -> None:
    def commit(turn: Turn) -> Any:
        session = turn.memory["session"]
        other = session.peers[0]
        return keygen.Commit(keygen.commitment(session.ssid, other, turn.memory["mine"]))

    trial(generation, lambda: at("keygen.1", commit), liar)


@pytest.mark.covers("K03", "R14")
@every_place
@pytest.mark.parametrize("what", ["share", "constant"])
def test_a_proof_of_knowledge_from_another_run_names_who_replays_it(liar: int, what: str) -> None:
    other = sch.Proof(random_scalar())
    trial(generation, lambda: at("keygen.3", lambda t: replace(t.message, **{what: other})), liar)


@pytest.mark.covers("K04", "K05", "R3")
@every_place
@pytest.mark.parametrize("length", [0, 1, 3, 60])
def test_a_feldman_vector_of_another_length_names_who_commits_to_it(liar: int, length: int) -> None:
    def resized(mine: Any, _: Turn) -> Any:
        return replace(mine, F=(mine.F * 31)[:length])

    trial(generation, lambda: committed("keygen", keygen, resized), liar)


@pytest.mark.covers("K06", "R21")
@pytest.mark.parametrize("index", [0, Q, Q + 1, 2**16, -1])
def test_an_index_that_cannot_be_is_refused_before_anything_is_sent(index: int) -> None:
    from oms_core.errors import Malformed

    with pytest.raises(Malformed):
        sessions((1, 2, index))
    with pytest.raises(Malformed):
        sessions((1, 2, 2))


@pytest.mark.covers("K07")
@every_place
def test_a_bad_share_for_one_victim_is_proven_by_the_victim(liar: int) -> None:
    victim = next(j for j in ALL if j != liar)

    def bad(turn: Turn) -> Any:
        return replace(turn.message, value=(turn.message.value + (turn.to == victim)) % Q)

    honest = set(ALL) - {liar}
    outcome = run_keygen({liar: at("keygen.2", bad, secret=True)})
    assert outcome.culprits(honest) == {liar}
    from tests.protocol.runs import verdicts

    assert [verdict.culprit for verdict in verdicts(outcome, victim)] == [liar]


@pytest.mark.covers("K08", "R16")
@every_place
@pytest.mark.parametrize("step", ["keygen.1", "keygen.2"])
def test_different_broadcasts_to_different_parties_convict_who_made_them(liar: int, step: str) -> None:
    victim = next(j for j in ALL if j != liar)

    def other(turn: Turn) -> Any:
        return Split({victim: replace(turn.message, **{"hash" if step == "keygen.1" else "u": b"\x07" * 32})})

    trial(generation, lambda: at(step, other), liar)


@pytest.mark.covers("K13", "R3")
@every_place
@pytest.mark.parametrize("length", [0, 1, TOY.repetitions - 1])
def test_fewer_repetitions_of_a_proof_about_moduli_name_their_prover(liar: int, length: int) -> None:
    def fewer(mine: Any, _: Turn) -> Any:
        return replace(mine, proof=replace(mine.proof, A=mine.proof.A[:length], z=mine.proof.z[:length]))

    trial(moduli, lambda: committed("auxinfo", auxinfo, fewer), liar, next_attempt=False)
    cut = at("auxinfo.3", lambda t: replace(t.message, answers=t.message.answers[:length]))
    trial(moduli, lambda: cut, liar, next_attempt=length == 0)


@pytest.mark.covers("K12", "K14", "R8")
@every_place
def test_a_modulus_of_another_size_or_a_trivial_base_names_its_owner(liar: int) -> None:
    p, q, _, _ = primes(TOY, 5)

    def with_paillier(N: int) -> Callable[[Any, Turn], Any]:
        return lambda mine, _: replace(mine, paillier=PaillierPublic(N))

    def with_pedersen(change: Callable[[int, int, int], tuple[int, int, int]]) -> Callable[[Any, Turn], Any]:
        return lambda mine, _: replace(mine, pedersen=PedersenPublic(*change(*mine.pedersen.__canonical__())))

    bent = [
        with_paillier(p * q >> 1 | 1),
        with_paillier(p * q << 1 | 1),
        with_pedersen(lambda N, s, t: (N, 1, t)),
        with_pedersen(lambda N, s, t: (N, s, 1)),
        with_pedersen(lambda N, s, t: (N, t, t)),
        with_pedersen(lambda N, s, t: (N, N - 1, t)),
        with_pedersen(lambda N, s, t: (N >> 1 | 1, 2, 4)),
    ]
    for change in bent:
        trial(moduli, lambda change=change: committed("auxinfo", auxinfo, change), liar, next_attempt=False)  # type: ignore[misc]


@pytest.mark.covers("K14")
@every_place
def test_a_copy_of_a_modulus_that_somebody_else_has_shown_names_who_copies_it(liar: int) -> None:
    """The liar has a commitment of its own, and opens it with what a peer has just shown."""
    p, q, _, _ = primes(TOY, next(j for j in ALL if j != liar))
    trial(moduli, lambda: at("auxinfo.2", lambda t: replace(t.message, paillier=PaillierPublic(p * q))), liar)


def _dealt(change: Callable[[Any], Any]) -> Callable[[], Lie]:
    return lambda: committed("reshare", reshare, lambda mine, _: change(mine))


@pytest.mark.covers("R25", "K05", "R3", "R22")
@every_place
@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, B=(m.B[0] + G, *m.B[1:])),
        lambda m: replace(m, B=(IDENTITY, *m.B[1:])),
        lambda m: replace(m, B=(*m.B, G), A=(*m.A, G)),
        lambda m: replace(m, B=m.B[:1], A=m.A[:1]),
        lambda m: replace(m, B=(), A=()),
        lambda m: replace(m, A=(IDENTITY, *m.A[1:])),
    ],
    ids=["another key", "nothing", "longer", "shorter", "empty", "no proof"],
)
def test_who_deals_something_else_than_its_share_of_the_key_is_named(liar: int, change: Callable[[Any], Any]) -> None:
    trial(refreshing, _dealt(change), liar, next_attempt=False)


@pytest.mark.covers("K03", "R25")
@every_place
def test_a_dealer_that_does_not_know_its_coefficients_is_named(liar: int) -> None:
    def unknown(turn: Turn) -> Any:
        return replace(turn.message, coefficients=(sch.Proof(1), *turn.message.coefficients[1:]))

    trial(refreshing, lambda: at("reshare.3", unknown), liar, next_attempt=False)


@pytest.mark.covers("K16")
@pytest.mark.parametrize("runner", [run_keygen, run_refresh], ids=["key generation", "refresh"])
def test_a_party_that_dies_at_any_step_leaves_no_half_key_with_anybody(runner: Callable[..., Held]) -> None:
    steps = sorted({step for spoke in runner().spoke.values() for step in spoke})
    assert len(steps) >= 5
    for step in steps:

        def lost(at_step: str, packets: dict[int, dict[int, bytes]], step: str = step) -> None:
            if at_step == step:
                for i in (1, 2):
                    packets[i].pop(3, None)

        outcome = runner(relay=lost)
        assert not {1, 2} & set(outcome.results), step
        assert outcome.culprits({1, 2}) == set()
    assert set(runner().results) == set(ALL)


@pytest.mark.covers("K15", "R24", "R27")
def test_shares_of_an_old_epoch_do_not_fit_to_those_of_a_new_one() -> None:
    from oms_core.crypto.shamir import lagrange

    old, new = key(3, 2), run_refresh().results
    quorum = (1, 2)
    mixed = old[1].share.secret * lagrange(1, quorum) + new[2].secret * lagrange(2, quorum)
    fresh = sum(new[j].secret * lagrange(j, quorum) for j in quorum)
    assert mul_base(fresh) == old[1].share.public_key
    assert mul_base(mixed) != old[1].share.public_key


@pytest.mark.covers("R27")
def test_a_dealer_of_another_epoch_than_the_sessions_does_not_begin() -> None:
    from oms_core.errors import Malformed

    epoch, share = key(3, 2)[1].public, key(3, 2)[1].share
    made = sessions(ALL)[1]
    new = Resharing(ALL, ALL, 2, 1, b"a" * 32)
    with pytest.raises(Malformed, match="another key or epoch"):
        resume(reshare.reshare(made, epoch, new, replace(share, epoch=7), roster(ALL)))
