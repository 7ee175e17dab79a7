"""The operator's way back from a loss, by the operator's own commands: backup, restore, reconcile, convictions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cosigner.__main__ as commands
from cosigner import backup
from cosigner.convictions import Convictions
from oms_core.backup import read_backup
from oms_core.errors import CountersealError, Reason
from oms_core.keys import Change, KeyState
from oms_core.protocol import judge as judging
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import NOW, change
from tests.unit.cosigner.epochs import certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, load_module, make_node, material, wrapping_key
from tests.unit.cosigner.test_convictions import TOY, caught_lying
from tests.unit.cosigner.test_keys import asked


@pytest.fixture(autouse=True)
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process stays readable for debuggers."""
    monkeypatch.setattr("cosigner.enclave.harden", lambda: None)


@pytest.fixture
def own(node: Node) -> Iterator[Node]:
    """A stopped node with an active key, and its recovery key beside it."""
    activate(node)
    backup.new_recovery_key(node.home / "recovery")
    node.stop()
    yield node
    load_module(node.config)
    node.start()


def run(node: Node, *arguments: str, answer: str = "") -> Result:
    load_module(node.config)
    base = ["--config", str(node.home / "cosigner.toml")]
    return CliRunner().invoke(commands.cli, [*base, *arguments], input=answer)


def told(node: Node, *arguments: str, answer: str = "") -> str:
    result = run(node, *arguments, answer=answer)
    assert result.exception is None, result.exception
    for number in (material().share.secret, material().aux.primes[0]):
        assert str(number) not in result.output
    return result.output


def reason(node: Node, *arguments: str) -> Reason:
    result = run(node, *arguments)
    assert isinstance(result.exception, CountersealError), result.output
    assert str(material().share.secret) not in str(result.exception)
    return result.exception.reason


def back_up(node: Node, name: str = "backup") -> Path:
    told(node, "backup", "--to", str(node.home / name), "--recovery", str(node.home / "recovery.pub"))
    return node.home / name


def restoring(node: Node, file: Path, *more: str) -> tuple[str, ...]:
    return ("restore", str(file), "--recovery-key", str(node.home / "recovery"), *more)


def lose_store(node: Node) -> None:
    for path in node.home.glob("store.sqlite*"):
        path.unlink()


# The recovery key and the backup


def test_a_recovery_key_is_a_secret_file_and_a_public_one(own: Node, tmp_path: Path) -> None:
    file = tmp_path / "key"
    said = told(own, "recovery-key", "new", str(file))
    assert "key is secret: keep it offline" in said
    assert file.stat().st_mode & 0o777 == 0o600
    secret = backup.read_recovery_secret(file)
    assert backup.read_recovery_public(tmp_path / "key.pub") == secret.public_key().public_bytes_raw()
    assert secret.private_bytes_raw().hex() not in said
    assert reason(own, "recovery-key", "new", str(file)) == Reason.CONFIG_INVALID


def test_a_recovery_key_that_others_may_read_or_of_the_wrong_half_is_not_used(own: Node) -> None:
    file = back_up(own)
    (own.home / "recovery").chmod(0o644)
    assert reason(own, *restoring(own, file)) == Reason.CONFIG_INVALID
    to = str(own.home / "other")
    assert reason(own, "backup", "--to", to, "--recovery", str(own.home / "recovery")) == Reason.CONFIG_INVALID
    (own.home / "recovery").chmod(0o600)
    secret = str(own.home / "recovery.pub")
    (own.home / "recovery.pub").chmod(0o600)
    assert reason(own, "restore", str(file), "--recovery-key", secret) == Reason.CONFIG_INVALID


def test_a_backup_is_a_new_file_that_others_cannot_read_and_that_names_what_it_is(own: Node) -> None:
    said = told(own, "backup", "--to", str(own.home / "b"), "--recovery", str(own.home / "recovery.pub"))
    assert "wallet wal_1  ACTIVE  epoch 0  key 6b6b6b6b6b6b6b6b  share 1 of 3-of-5" in said
    assert (own.home / "b").stat().st_mode & 0o777 == 0o600
    data = (own.home / "b").read_bytes()
    assert read_backup(data, own.token.public).backup.label.wallet_id == "wal_1"
    assert material().share.secret.to_bytes(32, "big") not in data
    again = ("backup", "--to", str(own.home / "b"), "--recovery", str(own.home / "recovery.pub"))
    assert reason(own, *again) == Reason.CONFIG_INVALID
    assert (own.home / "b").read_bytes() == data


def test_which_wallet_is_backed_up_is_named_if_there_are_several(own: Node) -> None:
    load_module(own.config)
    own.start()
    own.vault.put_key("wal_2", dealt(7)[1], KeyState.ACTIVE)
    own.stop()
    rest = ("--recovery", str(own.home / "recovery.pub"))
    assert reason(own, "backup", "--to", str(own.home / "b"), *rest) == Reason.UNKNOWN_WALLET
    assert "epoch 7" in told(own, "backup", "--to", str(own.home / "b"), "--wallet", "wal_2", *rest)
    assert reason(own, "backup", "--to", str(own.home / "c"), "--wallet", "wal_3", *rest) == Reason.UNKNOWN_WALLET


# Restore


def test_after_the_disk_was_lost_the_node_is_reconciled_and_then_restored(own: Node) -> None:
    file = back_up(own)
    lose_store(own)
    assert reason(own, *restoring(own, file)) == Reason.ROLLBACK_DETECTED
    said = told(own, "reconcile", "--yes")
    assert "the store is an older copy: boot 0 in the store, 1 in the token" in said
    assert "reconciled: boot generation 2" in said
    assert "would restore wallet wal_1  SUSPENDED" in told(own, *restoring(own, file, "--dry-run"))
    assert "restored wallet wal_1  SUSPENDED" in told(own, *restoring(own, file))
    load_module(own.config)
    own.boot()
    own.boots.check()
    assert own.vault.key(KEY_ID, KeyState.SUSPENDED)[1] == material()
    own.stop()


def test_a_dry_run_changes_nothing(own: Node) -> None:
    file = back_up(own)
    lose_store(own)
    told(own, "reconcile", "--yes")
    told(own, *restoring(own, file, "--dry-run"))
    load_module(own.config)
    own.start()
    assert own.vault.all_keys(pending=True) == []
    assert wrapping_key(own, 0) is not None
    own.stop()


def test_a_restored_share_is_under_a_fresh_hsm_key(own: Node, tmp_path: Path) -> None:
    file, old = back_up(own), own.copy(tmp_path / "old")
    lose_store(own)
    told(own, "reconcile", "--yes")
    told(own, *restoring(own, file))
    own.take(old, store=True)
    load_module(own.config)
    own.start()
    with pytest.raises(CountersealError) as caught:
        own.vault.epoch(KEY_ID, 0)
    assert caught.value.reason == Reason.SHARE_AAD_MISMATCH
    own.stop()


def test_a_disk_from_before_the_restore_is_noticed(own: Node, tmp_path: Path) -> None:
    file = back_up(own)
    lose_store(own)
    told(own, "reconcile", "--yes")
    before = own.copy(tmp_path / "before")
    told(own, *restoring(own, file))
    own.take(before, store=True)
    assert reason(own, *restoring(own, file)) == Reason.ROLLBACK_DETECTED


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED])
def test_a_restored_key_is_in_the_state_that_it_had(own: Node, state: KeyState) -> None:
    load_module(own.config)
    own.start()
    own.vault.advance_key(KEY_ID, 0, KeyState.ACTIVE, state)
    own.stop()
    file = back_up(own)
    lose_store(own)
    told(own, "reconcile", "--yes")
    assert f"restored wallet wal_1  {state}" in told(own, *restoring(own, file))


def test_a_backup_is_refused_where_its_epoch_or_a_later_one_is(own: Node) -> None:
    file = back_up(own)
    assert reason(own, *restoring(own, file)) == Reason.EPOCH_STALE
    load_module(own.config)
    own.start()
    own.vault.put_key("wal_1", dealt()[1])
    own.vault.commit_epoch(KEY_ID, 1)
    own.stop()
    assert reason(own, *restoring(own, file)) == Reason.EPOCH_STALE
    assert reason(own, *restoring(own, file, "--dry-run")) == Reason.EPOCH_STALE


def test_a_later_epoch_from_a_backup_takes_the_place_of_an_older_one(own: Node, tmp_path: Path) -> None:
    old = own.copy(tmp_path / "old")
    load_module(own.config)
    own.start()
    own.vault.put_key("wal_1", dealt()[1])
    own.vault.commit_epoch(KEY_ID, 1)
    own.stop()
    file = back_up(own)
    own.take(old, store=True)
    assert "epoch 1" in told(own, *restoring(own, file))
    load_module(own.config)
    own.start()
    assert [(c.epoch, c.state) for c in own.vault.all_keys(pending=True)] == [(1, KeyState.SUSPENDED)]
    assert own.vault.epoch(KEY_ID, 1) == dealt()[1]
    own.stop()


def test_what_was_destroyed_here_does_not_come_back(own: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosigner.keys.time", type("Clock", (), {"time": staticmethod(lambda: NOW)}))
    file = back_up(own)
    load_module(own.config)
    own.start()
    resharing = asked(change(Change.RESHARE))
    assert own.keys.commit(KEY_ID, certificate(dealt(1, (2, 3, 4, 5))), resharing) is not None
    own.stop()
    assert reason(own, *restoring(own, file)) == Reason.EPOCH_STALE


def test_a_backup_of_another_node_or_signer_is_refused(own: Node, tmp_path: Path) -> None:
    file = back_up(own)
    other = make_node(tmp_path / "two", 2)
    secret = ("--recovery-key", str(own.home / "recovery"))
    assert reason(other, "restore", str(file), *secret) == Reason.BACKUP_INVALID
    signer = ("--signer", own.token.public.hex())
    assert reason(other, "restore", str(file), *secret, *signer) == Reason.BACKUP_INVALID
    assert reason(other, "restore", str(file), *secret, "--signer", "zz") == Reason.CONFIG_INVALID
    assert reason(other, "restore", str(tmp_path / "nowhere"), *secret) == Reason.BACKUP_INVALID


def test_a_new_token_takes_the_backup_of_the_lost_one_if_its_signer_is_named(
    own: Node, blank: Node, tmp_path: Path
) -> None:
    file, secret = back_up(own), own.home / "recovery"
    fresh = make_node(tmp_path / "fresh")
    arguments = ("restore", str(file), "--recovery-key", str(secret))
    assert reason(fresh, *arguments) == Reason.BACKUP_INVALID
    assert "restored wallet wal_1" in told(fresh, *arguments, "--signer", own.token.public.hex())


def test_nothing_is_restored_or_reconciled_while_the_enclave_runs(own: Node) -> None:
    file = back_up(own)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(own.config.socket))
        listening.listen()
        assert reason(own, *restoring(own, file)) == Reason.WRONG_STATE
        assert reason(own, "reconcile", "--yes") == Reason.WRONG_STATE
        back_up(own, "while running")


# Reconcile


def test_a_node_that_is_not_rolled_back_is_not_reconciled(own: Node) -> None:
    assert "nothing to reconcile" in told(own, "reconcile", "--yes")


def test_a_rolled_back_node_makes_no_backup(own: Node) -> None:
    lose_store(own)
    arguments = ("backup", "--to", str(own.home / "b"), "--recovery", str(own.home / "recovery.pub"))
    assert reason(own, *arguments) == Reason.ROLLBACK_DETECTED


def test_reconciling_says_what_was_seen_and_what_it_means_and_asks(own: Node, tmp_path: Path) -> None:
    old = own.copy(tmp_path / "old")
    load_module(own.config)
    own.boot().stop()
    own.take(old, store=True)
    result = run(own, "reconcile", answer="n\n")
    assert result.exit_code == 1
    for text in (
        "seen:   the store is an older copy",
        "means: ",
        "if you reconcile: ",
        "wallet wal_1  ACTIVE  epoch 0",
    ):
        assert text in result.output
    assert "seen:   the store is an older copy" in run(own, "reconcile", answer="n\n").output
    assert "reconciled" in told(own, "reconcile", answer="y\n")
    assert "nothing to reconcile" in told(own, "reconcile")


# Convictions, status


def test_convictions_are_shown_with_their_verdict_written_out_and_pardoned(
    own: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "level", lambda _: TOY)
    assert "no peer is convicted here" in told(own, "convictions")
    load_module(own.config)
    own.start()
    lying = caught_lying()
    Convictions(own.store, identity(1)).convict(lying.channels[1], lying.errors[1], None, None)  # type: ignore[arg-type]
    own.stop()
    said = told(own, "convictions", "--out", str(tmp_path / "evidence"))
    assert "cosigner 3  at keygen.2: the opening matches the commitment" in said
    assert (tmp_path / "evidence" / "cosigner-3.evidence").read_bytes() == lying.errors[1].evidence[0]
    kept = run(own, "pardon", "3", answer="n\n")
    assert (kept.exit_code, "Let cosigner 3 take part again?" in kept.output) == (1, True)
    assert "cosigner 3  at" in told(own, "convictions")
    assert "cosigner 3 may take part again" in told(own, "pardon", "3", answer="y\n")
    assert reason(own, "pardon", "3") == Reason.UNKNOWN_USER


def test_the_status_shows_the_stock_a_rollback_and_the_convicted(own: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    status = pb.Status(
        index=1,
        hsm="OK",
        boot_generation=7,
        workspace=bytes(32),
        rolled_back="peer 2 has heard of boot 9 of this node",
        convicted=[3],
        wallets=[pb.WalletStatus(wallet_id="wal_1", key_id=KEY_ID, epoch=1, state="SUSPENDED")],
        stock=[pb.Stock(wallet_id="wal_1", path=[44, 7], quorum=[1, 2, 3], count=12, oldest_seconds=60)],
    )

    async def answer(*_: object) -> pb.FromCosigner:
        return pb.FromCosigner(status=status)

    monkeypatch.setattr(commands, "_ask", answer)
    said = told(own, "status")
    assert "ROLLED BACK: peer 2 has heard of boot 9 of this node" in said
    assert "CONVICTED: cosigner 3" in said
    assert "wallet wal_1  SUSPENDED  epoch 1" in said
    assert "presignatures wal_1  path m/44/7  with 1, 2, 3: 12, oldest 60 s" in said


def test_the_drill_command_refuses_what_is_not_a_pair_of_files(own: Node) -> None:
    for pair in ("backup", ":key", "backup:"):
        assert reason(own, "drill", pair) == Reason.CONFIG_INVALID
