"""The token keeps its keys, and the vault gives back exactly what was sealed here, or an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute
from sqlalchemy import Engine, update

from cosigner import counters
from cosigner.config import Config
from cosigner.counters import Counters
from cosigner.hsm import Token
from cosigner.store import sealed
from cosigner.vault import Clear, Vault
from oms_core.encoding import decode, encode
from oms_core.errors import Conflict, LocalError, Malformed, NotFound, Reason, Refused
from oms_core.keys import KeyState
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import Workspace
from tests.parties import key
from tests.people import workspace
from tests.unit.cosigner.node import Node


def test_the_tokens_keys_cannot_be_read(token: Token) -> None:
    for held in (token._seal_key, token._identity_key):
        assert held[Attribute.EXTRACTABLE] is False
        assert held[Attribute.SENSITIVE] is True
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            _ = held[Attribute.VALUE]


def test_an_identity_signature_verifies_in_its_domain_only(token: Token) -> None:
    signature = token.sign("round", b"message")
    verify_identity(token.public, "round", b"message", signature)
    for domain, message in (("refusal", b"message"), ("round", b"massage")):
        with pytest.raises(Exception, match="SIGNATURE_INVALID"):
            verify_identity(token.public, domain, message, signature)


def test_sealed_bytes_open_only_under_the_same_clear_bytes(token: Token) -> None:
    blob = token.seal(b"secret", b"clear")
    assert token.unseal(blob, b"clear") == b"secret"
    bent = [(blob, b"clean"), (blob, b""), (blob[:-1], b"clear"), (blob[:20], b"clear"), (b"", b"clear")]
    bent += [(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], b"clear") for at in range(len(blob))]
    for data, clear in bent:
        with pytest.raises(LocalError):
            token.unseal(data, clear)


def test_sealing_twice_gives_different_bytes(token: Token) -> None:
    assert token.seal(b"x", b"") != token.seal(b"x", b"")


def test_the_boot_generation_only_rises(token: Token) -> None:
    first = token.generation()
    token.advance_generation(first + 2)
    for lower in (first + 2, first + 1, 0):
        with pytest.raises(LocalError) as caught:
            token.advance_generation(lower)
        assert caught.value.reason == Reason.ROLLBACK_DETECTED
    assert token.generation() == first + 2


def test_a_crash_between_the_two_writes_of_a_generation_leaves_the_higher_one(token: Token) -> None:
    first = token.counters()
    second = first._replace(generation=first.generation + 1)
    token._call(lambda: counters.write(token._session, second))
    assert token.counters() == second
    token.advance_generation(first.generation + 2)
    third = first._replace(generation=first.generation + 2, writes=first.writes + 1)
    token._call(lambda: counters.write(token._session, third))
    assert token.counters() == third
    token.advance(third.generation, third.writes + 1)
    assert token.counters() == third._replace(writes=third.writes + 1)
    assert len(token._call(lambda: counters.held(token._session))) == 1


def test_a_crash_between_the_two_writes_of_a_tree_leaves_the_larger_one(token: Token) -> None:
    first = token.counters()
    for size in (5, 6, 300):
        token._call(lambda size=size: counters.write(token._session, Counters(*first[:2], size, bytes(32))))
        assert token.counters() == Counters(*first[:2], size, bytes(32))


def test_the_number_of_writes_only_rises_and_outlives_a_new_generation(token: Token) -> None:
    generation, writes, *_ = token.counters()
    for to, expected in ((writes + 3, writes + 3), (writes + 1, writes + 3), (writes + 3, writes + 3)):
        token.advance(generation, to)
        assert token.counters() == Counters(generation, expected)
    token.advance_generation(generation + 1)
    assert token.counters() == Counters(generation + 1, writes + 3)
    with pytest.raises(LocalError) as caught:
        token.advance(generation, writes + 4)
    assert caught.value.reason is Reason.ROLLBACK_DETECTED


def test_the_logs_tree_in_the_token_only_grows_and_has_one_root_for_each_size(token: Token) -> None:
    generation, writes, *_ = token.counters()
    for size, expected in ((3, 3), (2, 3), (0, 3), (3, 3), (7, 7)):
        token.advance(generation, writes, size, bytes([size]) * 32)
        assert token.counters() == Counters(generation, writes, expected, bytes([expected]) * 32)
    with pytest.raises(LocalError) as caught:
        token.advance(generation, writes + 1, 7, bytes(32))
    assert caught.value.reason is Reason.LOG_FORKED
    token.advance_generation(generation + 1)
    assert token.counters() == Counters(generation + 1, writes, 7, b"\7" * 32)


def test_writes_and_the_logs_tree_are_raised_by_one_object_and_nothing_is_written_where_nothing_rises(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Counters] = []
    write = counters.write
    monkeypatch.setattr(counters, "write", lambda session, to: (written.append(to), write(session, to)))
    generation, writes, *_ = token.counters()
    for _ in range(2):
        token.advance(generation, writes + 1, 9, b"r" * 32)
        token.advance(generation, writes, 8, b"s" * 32)
    assert written == [Counters(generation, writes + 1, 9, b"r" * 32)]


def test_a_token_that_has_lost_its_counters_is_written_anew_by_reconciling_alone(node: Node) -> None:
    def lose() -> None:
        for one in counters.held(node.token._session):
            one.destroy()

    node.token._call(lose)
    with pytest.raises(LocalError, match="no boot generation"):
        node.boots.begin()
    assert "no boot generation" in node.boots.suspicion()
    following = node.boots.reconcile(1_800_000_000)
    assert node.token.counters()[0] == following == node.boots.generation


def test_what_is_sealed_under_a_key_of_its_own_is_gone_with_that_key(token: Token) -> None:
    blob, other = token.seal(b"secret", b"clear", "one"), token.seal(b"secret", b"clear", "two")
    assert token.unseal(blob, b"clear", "one") == b"secret"
    for under in ("two", "three", ""):
        with pytest.raises(LocalError):
            token.unseal(blob, b"clear", under)
    token.destroy("one")
    token.destroy("one")
    token.destroy("")
    with pytest.raises(LocalError, match="destroyed"):
        token.unseal(blob, b"clear", "one")
    again = token.seal(b"secret", b"clear", "one")
    with pytest.raises(LocalError):
        token.unseal(blob, b"clear", "one")
    assert token.unseal(again, b"clear", "one") == token.unseal(other, b"clear", "two") == b"secret"


def test_a_wrong_pin_and_a_missing_token_are_told_apart(config: Config, token: Token, tmp_path) -> None:
    with pytest.raises(LocalError) as caught:
        Token(replace(config.hsm, token_label="nobody"), 1)
    assert caught.value.reason == Reason.HSM_TOKEN_MISSING


def test_the_workspace_is_pinned_once(vault: Vault) -> None:
    with pytest.raises(NotFound):
        vault.workspace()
    vault.pin_workspace(workspace())
    vault.pin_workspace(workspace())
    assert vault.workspace() == workspace()
    with pytest.raises(Conflict) as caught:
        vault.pin_workspace(replace(workspace(), name="another"))
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


def test_a_workspace_that_does_not_hold_together_is_not_pinned(vault: Vault) -> None:
    broken: Workspace = replace(workspace(), roster=())
    with pytest.raises(Malformed):
        vault.pin_workspace(broken)


def test_a_key_moves_through_its_states_once(vault: Vault) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    with pytest.raises(Conflict):
        vault.put_key("wal_1", material)
    key_id = material.share.key_id
    with pytest.raises(NotFound):
        vault.key(key_id, KeyState.ACTIVE)
    vault.advance_key(key_id, 0, KeyState.PENDING, KeyState.PRE_ACTIVE)
    with pytest.raises(Conflict):
        vault.advance_key(key_id, 0, KeyState.PENDING, KeyState.PRE_ACTIVE)
    with pytest.raises(Refused) as caught:
        vault.key(key_id, KeyState.ACTIVE)
    assert caught.value.reason == Reason.WRONG_STATE
    vault.advance_key(key_id, 0, KeyState.PRE_ACTIVE, KeyState.ACTIVE)
    assert vault.key(key_id, KeyState.ACTIVE)[1] == material
    assert vault.find_key("wal_1").key_id == key_id
    with pytest.raises(NotFound):
        vault.find_key("wal_2")


def test_a_share_whose_state_was_changed_on_disk_does_not_open(vault: Vault, store: Engine) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    (clear,) = vault.all_keys(pending=True)
    forged = replace(clear, state="ACTIVE")
    with store.begin() as connection:
        connection.execute(update(sealed).values(state="ACTIVE", clear=encode(forged)))
    with pytest.raises(LocalError) as caught:
        vault.key(material.share.key_id, KeyState.ACTIVE)
    assert caught.value.reason == Reason.SHARE_AAD_MISMATCH


@pytest.mark.parametrize(
    "change", [{"index": 2}, {"wallet_id": "wal_2"}, {"epoch": 1}, {"drill": True}, {"purpose": "other"}]
)
def test_a_share_of_another_node_wallet_epoch_or_purpose_does_not_open(
    vault: Vault, store: Engine, change: dict[str, object]
) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    (clear,) = vault.all_keys(pending=True)
    with store.begin() as connection:
        connection.execute(update(sealed).values(clear=encode(replace(clear, **change))))
    with pytest.raises(LocalError) as caught:
        vault.epoch(material.share.key_id, 0)
    assert caught.value.reason == Reason.SHARE_AAD_MISMATCH


def test_a_flipped_bit_in_a_sealed_share_is_noticed(vault: Vault, store: Engine) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    with store.begin() as connection:
        blob = connection.execute(sealed.select()).one().blob
        connection.execute(update(sealed).values(blob=blob[:100] + bytes([blob[100] ^ 1]) + blob[101:]))
    with pytest.raises(LocalError) as caught:
        vault.epoch(material.share.key_id, 0)
    assert caught.value.reason == Reason.SHARE_AAD_MISMATCH


def test_damaged_clear_fields_are_noticed(vault: Vault, store: Engine) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    with store.begin() as connection:
        connection.execute(update(sealed).values(clear=b"junk"))
    with pytest.raises(LocalError) as caught:
        vault.epoch(material.share.key_id, 0)
    assert caught.value.reason == Reason.STORE_CORRUPT


def test_the_stores_file_shows_no_secret(vault: Vault, store: Engine) -> None:
    material = key(3, 2)[1]
    vault.put_key("wal_1", material)
    path = store.url.database
    assert path is not None
    data = b"".join(Path(path + suffix).read_bytes() for suffix in ("", "-wal"))
    assert material.share.secret.to_bytes(32, "big") not in data
    assert decode(Clear, encode(vault.all_keys(pending=True)[0])).wallet_id.encode() in data
