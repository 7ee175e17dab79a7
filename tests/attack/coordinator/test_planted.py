"""Something bare is written into the log in time, and what people's keys sign much later is passed off as that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cosigner import keys as module
from cosigner.chain import Chain
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused
from oms_core.evidence import ChangeRequest, ChangeWorkspaceRequest
from oms_core.keys import Change, KeyState
from tests.parties import identity
from tests.people import NOW, approve, change, reform, workspace_request
from tests.unit.cosigner.chains import follow
from tests.unit.cosigner.epochs import certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, make_node
from tests.unit.cosigner.test_chain import LATE, adopted, disabled, refused, request
from tests.unit.cosigner.test_commit import by_liars
from tests.unit.cosigner.test_keys import asked, state

pytestmark = pytest.mark.attack


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """With an active key, around NOW."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    made = make_node(tmp_path).boot()
    activate(made)
    yield made
    made.stop()


@pytest.mark.covers("C06", "C16")
def test_a_change_whose_approvals_were_kept_back_until_they_ended_counts_at_no_node(node: Node) -> None:
    """Its entry was made in time, without them: nobody could see that anything was approved, or wait for it."""
    chain = Chain(node.store, node.token, node.vault.versions, node.boots)
    bare, kept_back = request(disabled("olga")), request(disabled("olga"), "alice")
    full = decode(ChangeWorkspaceRequest, kept_back)
    aside = replace(full.proposal, signature=encode(full.approvals))  # they are in it, and not as approvals
    with node.store.begin() as connection:
        follow(connection, bare, NOW)
        follow(connection, encode(replace(full, proposal=aside, approvals=(full.approvals[0],) * 2)), NOW)
    assert refused(chain, kept_back, LATE) == Reason.EXPIRED
    assert refused(chain, kept_back, NOW) == Reason.NOT_LOGGED
    with node.store.begin() as connection:
        follow(connection, kept_back, NOW)
    assert adopted(chain, kept_back, LATE).version == 1


@pytest.mark.covers("C06", "C16")
def test_no_share_is_destroyed_by_approvals_that_the_log_did_not_have_when_their_keys_were_revoked(node: Node) -> None:
    """The wish's entry is older than the revocation, and had no approvals: they were signed when it was over."""
    words, wish = by_liars()
    node.log.authorize(replace(decode(ChangeRequest, wish), approvals=()))
    tightening = reform(disabled("olga"))
    node.log.approve(workspace_request(tightening, approve(tightening, "alice")), NOW + 1)
    node.follow(NOW + 1)
    node.witness.gossip([node.log.note(at=NOW + 1)], NOW + 1)
    with pytest.raises(Refused) as caught:
        node.keys._keys.commit(KEY_ID, words, wish)
    assert caught.value.reason == Reason.NOT_LOGGED
    assert state(node) == KeyState.ACTIVE


@pytest.mark.covers("K09")
def test_a_stolen_token_that_was_replaced_does_not_confirm_an_epoch_in_its_successors_place(node: Node) -> None:
    """The wish was approved before: under that version the stolen key is a member's, and the new one holds nothing."""
    new = {j: identity(9).public if j == 3 else identity(j).public for j in dealt()}
    made = {j: replace(one, share=replace(one.share, roster=tuple(new.items()))) for j, one in dealt().items()}
    node.vault.put_key("wal_1", made[1])
    with pytest.raises(Refused) as caught:
        node.keys.commit(KEY_ID, certificate(made), asked(change(Change.REFRESH)))
    assert caught.value.reason == Reason.DIGEST_MISMATCH
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(0, "ACTIVE"), (1, "PENDING")]
