"""Real sessions of one honest cosigner with two corrupt ones and their coordinator: what they can make of them.

The two keep every secret of theirs, skip every check, and may have as many presignatures as they like. Three of five
sign; so all that they lack is the honest node's share for a digest that nobody approved.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import combinations

import pytest

from cosigner.pool import LIMIT
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import PresignRequest, request_digest
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import Presignature
from tests.attack.coordinator.lies import LIES
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.oracle import objections
from tests.attack.coordinator.scene import Attempt, Scene
from tests.attack.coordinator.siege import Siege, toy
from tests.attack.coordinator.trying import expected, hostile, some_lies
from tests.attack.coordinator.world import WALLET

pytestmark = pytest.mark.attack
SESSIONS = 20  # for each of the ten pairs


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy(monkeypatch)


async def presigned(siege: Siege, scene: Scene) -> bytes:
    request = PresignRequest(scene.material.share.key_id, WALLET, ())
    fitting = scene.session(replace(scene.legal(), parties=siege.parties))
    spec = replace(fitting, protocol="presign", subject=request_digest(request), digest=b"")
    return await siege.presignature(spec, request)


def online(scene: Scene, siege: Siege, attempt: Attempt, presignature: bytes) -> SessionSpec:
    """The session for this attempt with a presignature that is there."""
    made = replace(attempt, parties=siege.parties)
    return replace(scene.session(made), **{"protocol": "sign-online", "presignature": presignature, **attempt.spec})


async def refusal(scene: Scene, siege: Siege, spec: SessionSpec, attempt: Attempt) -> Reason:
    with pytest.raises(CountersealError) as caught:
        await siege.signature(spec, scene.request(attempt))
    return caught.value.reason


async def attack(siege: Siege, scene: Scene, attempt: Attempt) -> None:
    """A hostile attempt, a legal order with the same presignature, and the attempt again: nothing but the order."""
    presignature = await presigned(siege, scene)
    wanted = online(scene, siege, attempt, presignature)
    allowed = expected(attempt)
    assert await refusal(scene, siege, wanted, attempt) in allowed, attempt.done
    order = replace(scene.legal(), parties=siege.parties)
    spec = online(scene, siege, order, presignature)
    signature = await siege.signature(spec, scene.request(order))
    assert siege.valid(signature, spec.digest)
    assert await refusal(scene, siege, wanted, attempt) in allowed, attempt.done
    digest = wanted.digest if len(wanted.digest) == 32 and wanted.digest != spec.digest else secrets.token_bytes(32)
    forged = siege.forgeries(presignature, digest)
    assert len(forged) >= 6
    assert not any(siege.valid(one, digest) for one in (*forged, signature)), attempt.done


@pytest.mark.slow
@pytest.mark.covers("C01", "C04", "C08")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("corrupt", list(combinations(ALL, 2)), ids=str)
async def test_two_corrupt_cosigners_and_their_coordinator_get_no_signature_but_of_what_was_approved(
    five: Five, scene: Scene, toys: None, corrupt: tuple[int, int]
) -> None:
    others = [index for index in ALL if index not in corrupt]
    sieges = [Siege(five, index, corrupt) for index in others]
    tried = 0
    while tried < SESSIONS:
        siege = sieges[tried % 3]
        attempt = hostile(scene, siege.parties, some_lies(scene), stolen=tried % 2 == 0)
        spec = online(scene, siege, attempt, bytes(32))
        if not objections(scene, scene.request(attempt), spec, siege.node.index) or "presignature" in attempt.spec:
            continue
        await attack(siege, scene, attempt)
        tried += 1
    assert five.blamed() == set()


@pytest.mark.covers("C01")
async def test_two_corrupt_cosigners_get_no_signature_of_an_order_that_nobody_approved(
    five: Five, scene: Scene, toys: None
) -> None:
    siege = Siege(five, 3, (1, 2))
    await attack(siege, scene, hostile(scene, siege.parties, [LIES["no approvals"]], stolen=True))
    await attack(siege, scene, hostile(scene, siege.parties, [LIES["another recipient"]], stolen=True))


@pytest.mark.covers("C01")
async def test_with_a_patched_guard_the_same_two_do_get_their_signature(five: Five, scene: Scene, toys: None) -> None:
    """So that it is the honest node's no that stands in the way of the tests above."""
    siege = Siege(five, 3, (1, 2))
    presignature = await presigned(siege, scene)
    siege.node.corrupt()
    attempt = hostile(scene, siege.parties, [LIES["no approvals"]], stolen=True)
    spec = online(scene, siege, attempt, presignature)
    assert siege.valid(await siege.signature(spec, scene.request(attempt)), spec.digest)


@pytest.mark.covers("C03", "P31")
async def test_an_order_that_is_signed_gives_no_second_share_of_its_presignature(
    five: Five, scene: Scene, toys: None
) -> None:
    siege = Siege(five, 4, (2, 5))
    presignature = await presigned(siege, scene)
    first, second = scene.legal(), scene.legal()
    await siege.signature(online(scene, siege, first, presignature), scene.request(first))
    for order in (first, second):
        spec = online(scene, siege, order, presignature)
        assert await refusal(scene, siege, spec, order) == Reason.PRESIGNATURE_UNKNOWN
    assert len(siege.heard[presignature]) == 1


@pytest.mark.covers("C14")
async def test_a_flood_of_presignings_stops_at_the_pools_bound_and_stops_no_order(
    five: Five, scene: Scene, toys: None
) -> None:
    siege = Siege(five, 3, (1, 2))
    made = siege.public[await presigned(siege, scene)]
    while len(siege.node.pool._held) < LIMIT:
        another = replace(made, ssid=secrets.token_bytes(len(made.ssid)))
        siege.node.pool.put(WALLET, Presignature(another, [(1, 1)]))
    for _ in range(3):
        with pytest.raises(CountersealError) as caught:
            await presigned(siege, scene)
        assert caught.value.reason == Reason.OVERLOADED
    order = replace(scene.legal(), parties=siege.parties)
    spec = online(scene, siege, order, made.id)
    assert siege.valid(await siege.signature(spec, scene.request(order)), spec.digest)
    await presigned(siege, scene)


@pytest.mark.covers("C09", "P32")
@pytest.mark.parametrize("field", ["parties", "digest", "subject", "presignature", "epoch_hash"])
async def test_a_session_that_is_shown_differently_to_each_does_not_begin_and_blames_nobody(
    five: Five, scene: Scene, toys: None, field: str
) -> None:
    siege = Siege(five, 3, (1, 2))
    presignature = await presigned(siege, scene)
    order = scene.legal()
    spec = online(scene, siege, order, presignature)
    other: object = (2, 3, 4) if field == "parties" else secrets.token_bytes(32)
    siege.shown = replace(spec, **{field: other})  # type: ignore[arg-type]
    assert await refusal(scene, siege, spec, order) in (Reason.SESSION_FAILED, Reason.MALFORMED)
    assert presignature not in siege.heard
    assert five.blamed() == set()
