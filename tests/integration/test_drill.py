"""Backups of a 3-of-5 key, made at real nodes: after everything is wiped, any three of them sign under the same key."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cosigner import backup, drill
from oms_core.backup import DrillRecord, SignedBackup, read_backup
from oms_core.crypto import ecdsa
from oms_core.crypto.params import L112
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused
from oms_core.evidence import drill_digest
from oms_core.keys import KeyState
from oms_core.protocol.keygen import keygen
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Session, Steps
from oms_core.protocol.shares import AuxInfo, KeyMaterial, PeerAux, moduli
from oms_core.protocol.sign import sign
from tests.parties import roster, run, sessions
from tests.primes import paillier, pedersen, primes
from tests.unit.cosigner.node import Node, make_node

ALL = (1, 2, 3, 4, 5)
KEY_ID = b"d" * 32
WALLET = "wal_cold"


@dataclass(frozen=True)
class Team:
    """What a team has kept: the backup, the recovery key, and the identity key that the lost node had."""

    file: Path
    secret: Path
    identity: bytes


def full_size_key() -> dict[int, KeyMaterial]:
    """A key of level L112: shares by key generation; moduli from published primes, whose proofs others test."""
    made = sessions(ALL, L112)
    outcome = run({j: keygen(made[j], KEY_ID, 3, roster(ALL)) for j in ALL})
    public = tuple(PeerAux(j, paillier(L112, j).public, pedersen(L112, j).public) for j in ALL)

    def own(j: int) -> AuxInfo:
        key = pedersen(L112, j)
        return AuxInfo(j, primes(L112, j), int(key.t), int(key.secret[2]), public, b"r" * 32)

    return {j: KeyMaterial("L112", outcome.results[j], own(j)) for j in ALL}


@pytest.fixture(scope="module")
def key() -> dict[int, KeyMaterial]:
    return full_size_key()


@pytest.fixture(scope="module")
def teams(key: dict[int, KeyMaterial], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Team]:
    """Every node backs up, and is then gone: store, token and all."""
    teams = {}
    for j in ALL:
        root, safe = tmp_path_factory.mktemp("lost"), tmp_path_factory.mktemp(f"safe-{j}")
        node = make_node(root, j).boot()
        node.vault.put_key(WALLET, key[j], KeyState.ACTIVE)
        node.stop()
        public = backup.new_recovery_key(safe / "recovery")
        with backup.open_node(node.config) as opened:
            backup.back_up(opened, "", public, safe / "backup")
            teams[j] = Team(safe / "backup", safe / "recovery", opened.token.public)
        shutil.rmtree(root)
    return teams


def left_behind(pid: int) -> list[Path]:
    folders = {Path(tempfile.gettempdir()), Path("/dev/shm")}
    return [path for folder in folders if folder.is_dir() for path in folder.glob(f"cs-drill-{pid}-*")]


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    assert left_behind(os.getpid()) == []


def pairs(teams: dict[int, Team], *indices: int) -> list[tuple[Path, Path]]:
    return [(teams[j].file, teams[j].secret) for j in indices]


def command(teams: dict[int, Team], *indices: int, out: Path | None = None) -> list[str]:
    named = [f"{file}:{secret}" for file, secret in pairs(teams, *indices)]
    return [sys.executable, "-m", "cosigner", "drill", *named, *(["--out", str(out)] if out else [])]


def proves(record: DrillRecord, key: dict[int, KeyMaterial]) -> bool:
    X = key[1].share.public_key
    ecdsa.verify(X, drill_digest(KEY_ID, 0, X.to_bytes()), decode(ecdsa.Signature, record.signature))
    return (record.wallet_id, record.key_id, record.epoch) == (WALLET, KEY_ID, 0)


def test_three_backups_sign_in_processes_of_their_own(
    teams: dict[int, Team], key: dict[int, KeyMaterial], tmp_path: Path
) -> None:
    out = tmp_path / "record"
    process = subprocess.Popen(
        command(teams, 2, 3, 5, out=out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "signed under the key, and verified by two libraries" in said
    assert left_behind(process.pid) == []
    record = decode(DrillRecord, out.read_bytes())
    assert record.indices == (2, 3, 5)
    assert proves(record, key)
    for j in (2, 3, 5):
        assert not any(form in said + errors for form in (str(key[j].share.secret), f"{key[j].share.secret:x}"))


def test_after_all_nodes_are_lost_any_three_restored_ones_sign_under_the_same_key(
    teams: dict[int, Team], key: dict[int, KeyMaterial], tmp_path: Path
) -> None:
    restored = {j: come_back(teams[j], make_node(tmp_path / str(j), j)) for j in ALL}
    assert restored == key
    X, arithmetic = key[1].share.public_key, {j: moduli(restored[j]) for j in ALL}
    digest = drill_digest(KEY_ID, 0, X.to_bytes())

    def signing(session: Session) -> Steps[Any]:
        presignature = yield from presign(session, restored[session.me].share, arithmetic[session.me])
        return (yield from sign(session, presignature, digest))

    for quorum in combinations(ALL, 3):
        outcome = run({j: signing(session) for j, session in sessions(quorum, L112).items()})
        assert not outcome.errors
        ecdsa.verify(X, digest, outcome.results[quorum[0]])


def come_back(team: Team, node: Node) -> KeyMaterial:
    """A fresh node with a fresh token takes its team's backup."""
    with backup.open_node(node.config) as opened:
        secret = backup.read_recovery_secret(team.secret)
        backup.restore(opened, team.file.read_bytes(), secret, team.identity, dry_run=False)
    node.boot()
    material = node.vault.key(KEY_ID, KeyState.SUSPENDED)[1]
    assert node.boots.rolled_back == ""
    node.stop()
    return material


def test_bad_backups_are_named_and_the_others_go_on(
    teams: dict[int, Team], key: dict[int, KeyMaterial], tmp_path: Path
) -> None:
    said: list[str] = []
    flipped, junk = tmp_path / "flipped", tmp_path / "junk"
    data = decode(SignedBackup, teams[1].file.read_bytes(), 1 << 22)
    sealed = bytearray(data.backup.sealed)
    sealed[500] ^= 1
    flipped.write_bytes(encode(replace(data, backup=replace(data.backup, sealed=bytes(sealed)))))
    junk.write_bytes(b"junk")
    wrong = [(flipped, teams[1].secret), (junk, teams[1].secret), (teams[3].file, teams[4].secret)]
    record = drill.drill_backups([*wrong, *pairs(teams, 2, 4, 5), (teams[5].file, teams[5].secret)], said.append)
    assert record.indices == (2, 4, 5)
    assert proves(record, key)
    bad = [line for line in said if "BAD" in line]
    assert any(line.startswith(f"{flipped}: BAD: it does not open") for line in bad)
    assert any(line.startswith(f"{junk}: BAD: it is no backup") for line in bad)
    assert any("it is sealed to another recovery key" in line for line in bad)
    assert any("node 5 is there twice" in line for line in bad)
    assert len(bad) == 4


def test_five_backups_all_take_part(teams: dict[int, Team], key: dict[int, KeyMaterial]) -> None:
    said: list[str] = []
    record = drill.drill_backups(pairs(teams, *ALL), said.append)
    assert record.indices == ALL
    assert proves(record, key)
    assert sum("signed under the key" in line for line in said) == 2


def test_two_backups_are_too_few(teams: dict[int, Team]) -> None:
    for chosen in (pairs(teams, 1, 2), [*pairs(teams, 1, 2), (teams[3].file, teams[4].secret)]):
        with pytest.raises(Refused, match="2 usable backups, 3 are needed") as caught:
            drill.drill_backups(chosen, lambda _: None)
        assert caught.value.reason == Reason.QUORUM_UNAVAILABLE


def test_the_parent_opens_no_backup_and_reads_no_recovery_key(
    teams: dict[int, Team], key: dict[int, KeyMaterial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the parent looks into a backup")

    for name in ("cosigner.restored.open_backup", "cosigner.restored.read_recovery_secret", "oms_core.backup.SUITE"):
        monkeypatch.setattr(name, never)
    assert proves(drill.drill_backups(pairs(teams, 1, 2, 3), lambda _: None), key)


def test_a_drill_that_is_stopped_leaves_nothing(teams: dict[int, Team]) -> None:
    process = subprocess.Popen(command(teams, *ALL), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "opened and verified" in process.stdout.readline()
    assert len(left_behind(process.pid)) == 1
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2, errors
    assert "the drill was stopped" in errors
    assert left_behind(process.pid) == []
    assert len(children) == 5
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


def test_a_backup_of_the_drill_is_read_without_any_key(teams: dict[int, Team]) -> None:
    for j in ALL:
        label = read_backup(teams[j].file.read_bytes(), teams[j].identity).backup.label
        assert (label.index, label.epoch.threshold, label.epoch.parties) == (j, 3, ALL)
