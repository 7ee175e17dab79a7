"""A coordinator that puts the blame on an honest cosigner, or takes it from a corrupt one (C10, C17)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.encoding import encode
from oms_core.errors import CountersealError, ProofInvalid, Reason, Refused, Unattributed
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import member
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.siege import Siege, toy
from tests.attack.coordinator.test_sessions import online, presigned

pytestmark = pytest.mark.attack


@pytest.mark.covers("C10")
def test_a_refusal_in_another_nodes_name_does_not_verify(five: Five, scene: Scene) -> None:
    refusal = Refusal(b"s" * 32, b"r" * 32, 1, Reason.NO_PERMIT, "no", scene.now)
    forged = SignedRefusal(refusal, five.nodes[2].token.sign("refusal", encode(refusal)))
    with pytest.raises(ProofInvalid):
        verify_identity(member(five.workspace, 1).identity, "refusal", encode(refusal), forged.signature)
    honest = five.nodes[1].guard.refuse(b"s" * 32, b"r" * 32, Refused("no", Reason.NO_PERMIT), scene.now)
    changed = replace(honest.refusal, reason=Reason.CULPRIT_IDENTIFIED)
    with pytest.raises(ProofInvalid):
        verify_identity(member(five.workspace, 1).identity, "refusal", encode(changed), honest.signature)


@pytest.mark.covers("C10")
@pytest.mark.parametrize("change", ["flip", "swap", "drop", "replay"])
async def test_what_a_relay_does_to_honest_packets_convicts_nobody(
    five: Five, scene: Scene, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    toy(monkeypatch)
    siege = Siege(five, 3, (1, 2))
    earlier: dict[int, bytes] = {}

    def relay(number: int, packets: dict[int, bytes]) -> dict[int, bytes]:
        held = dict(packets)
        if number == 2:
            if change == "flip":
                held[1] = held[1][:-1] + bytes([held[1][-1] ^ 1])
            elif change == "swap":
                held[1], held[2] = held[2], held[1]
            elif change == "drop":
                del held[1]
            else:
                held[1] = earlier[1]
        earlier.update(packets)
        return held

    siege.relay = relay
    with pytest.raises(CountersealError) as caught:
        await presigned(siege, scene)
    assert isinstance(caught.value, Unattributed) or not getattr(caught.value, "culprits", set())
    assert five.blamed() == set()


@pytest.mark.covers("C17")
async def test_a_conviction_that_the_coordinator_keeps_to_itself_is_remembered_by_the_node_that_has_it(
    five: Five, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(monkeypatch)
    siege = Siege(five, 3, (1, 2))
    presignature = await presigned(siege, scene)
    order = scene.legal()
    siege.secrets[presignature][1] = (5, 7)  # cosigner 1 signs with something else than it has proven
    with pytest.raises(CountersealError) as caught:
        await siege.signature(online(scene, siege, order, presignature), scene.request(order))
    assert caught.value.culprits == {1}  # type: ignore[attr-defined]
    assert five.nodes[3].convictions.convicted() == (1,)
    for parties in ((1, 2, 3), (1, 3, 4), (2, 3, 4)):
        again = replace(order, parties=parties)
        reason = five.nodes[3].asked(scene.session(again), scene.request(again), scene.now)
        assert reason == (Reason.CULPRIT_IDENTIFIED if 1 in parties else None)
    assert all(five.nodes[index].convictions.convicted() == () for index in ALL if index != 3)
