"""A node put back to an older copy of its disk and token, with its peer and its coordinator as accomplices (P33).

Two shares from one presignature give the key away. The real build has nothing to put back: presignatures are in memory.
The control has its pool in a file; there the attack works, and the tests have the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oms_core.crypto.curve import Q, mul_base
from oms_core.crypto.params import L112
from oms_core.errors import Reason
from oms_core.protocol.shares import Presignature
from tests.attack.hostile import Besieged, Refusal
from tests.parties import key
from tests.unit.cosigner.node import make_node

pytestmark = [pytest.mark.slow, pytest.mark.attack]


@pytest.fixture
def besieged(tmp_path: Path) -> Iterator[Besieged]:
    made = Besieged(make_node(tmp_path))
    yield made
    made.kill()


def stolen_key(made: Presignature, first: tuple[bytes, int], second: tuple[bytes, int]) -> int:
    """The whole secret key, from two shares of one presignature and the accomplice's own part of it."""
    (m1, s1), (m2, s2) = ((int.from_bytes(digest, "big") % Q, sigma) for digest, sigma in (first, second))
    k = (s1 - s2) * pow(m1 - m2, -1, Q) % Q
    chi = (s1 - k * m1) * pow(made.public.Gamma.x % Q, -1, Q) % Q
    own_k, own_chi = made.secret[0]
    return (chi + own_chi) * pow(k + own_k, -1, Q) % Q


@pytest.mark.covers("P33")
async def test_the_control_build_gives_the_key_away_when_it_is_put_back(besieged: Besieged, tmp_path: Path) -> None:
    besieged.start("tests.attack.leaky_cosigner")
    made = await besieged.presignature()
    besieged.kill()
    besieged.copy(tmp_path / "copy")
    shares = []
    for number in (1, 2):
        besieged.start("tests.attack.leaky_cosigner")
        shares.append(await besieged.release(number, made))
        besieged.kill()
        besieged.put_back(tmp_path / "copy")
    assert mul_base(stolen_key(made, *shares)) == key(3, 2, L112)[1].share.public_key


@pytest.mark.covers("P33", "R18", "R29")
async def test_the_real_build_releases_nothing_when_it_is_put_back(besieged: Besieged, tmp_path: Path) -> None:
    besieged.start("cosigner")
    made = await besieged.presignature()
    besieged.copy(tmp_path / "copy")
    await besieged.release(1, made)
    besieged.kill()
    besieged.put_back(tmp_path / "copy")
    besieged.start("cosigner")
    with pytest.raises(Refusal, match=Reason.PRESIGNATURE_UNKNOWN):
        await besieged.release(2, made)


@pytest.mark.covers("P31", "R18")
async def test_a_presignature_that_was_used_is_not_there_for_a_second_digest(besieged: Besieged) -> None:
    besieged.start("cosigner")
    made = await besieged.presignature()
    await besieged.release(1, made)
    for number in (1, 2):
        with pytest.raises(Refusal, match=Reason.PRESIGNATURE_UNKNOWN):
            await besieged.release(number, made)


@pytest.mark.covers("P33", "R18")
async def test_a_node_with_an_older_disk_under_its_token_says_so_and_signs_nothing(
    besieged: Besieged, tmp_path: Path
) -> None:
    besieged.start("cosigner")
    besieged.kill()
    besieged.copy(tmp_path / "copy")
    for _ in range(2):
        besieged.start("cosigner")
        besieged.kill()
    for path in besieged.home.glob("store.sqlite*"):
        path.unlink()
    for path in (tmp_path / "copy").glob("store.sqlite*"):
        (besieged.home / path.name).write_bytes(path.read_bytes())
    besieged.start("cosigner")
    with pytest.raises(Refusal, match=Reason.ROLLBACK_DETECTED):
        await besieged.presignature()
