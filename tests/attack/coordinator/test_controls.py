"""The suite can fail: with one check switched off, the attempts that it is there for do get their yes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosigner import guard as guarding
from oms_core import authorize as authorizing
from oms_core.assertions import Asserted
from oms_core.workspace import user
from tests.attack.coordinator.lies import LIES
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.trying import Tally, every_honest_node_refuses, hostile

pytestmark = pytest.mark.attack
Patch = pytest.MonkeyPatch


def no_assertions(patch: Patch) -> None:
    patch.setattr(authorizing, "verify_assertion", lambda *_: Asserted(0, may_be_copied=False))


def no_proposals(patch: Patch) -> None:
    patch.setattr(authorizing, "verify_proposal", lambda proposal, held: user(held, proposal.subject.initiator))


def any_claim(patch: Patch) -> None:
    patch.setattr(authorizing, "verify_approvals", _believing(authorizing.verify_approvals))


def _believing(verify: Any) -> Any:
    """Verifies what was signed, and not what it was about."""

    def believe(approvals: Any, *more: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            claims = {(one.claim.approver, one.claim.expires_at): one.claim for one in approvals}
            inner.setattr(authorizing, "expected_claim", lambda s, w, a, v, d, e, *_: claims[a, e])
            return verify(approvals, *more)

    return believe


def no_rules(patch: Patch) -> None:
    patch.setattr(authorizing, "_allowed", authorizing.judge)  # a decision, whatever its outcome


def no_look_at_the_key(patch: Patch) -> None:
    patch.setattr(guarding.Guard, "_check_key", lambda *_: None)


def no_look_at_what_is_signed(patch: Patch) -> None:
    """It is looked at twice: before the rules, and with the key."""
    patch.setattr(guarding.Guard, "_check_key", lambda *_: None)
    patch.setattr(guarding.Guard, "_check_claims", lambda self, spec, request, *_: request.proposal.subject)


def no_look_at_the_session(patch: Patch) -> None:
    patch.setattr(guarding.Guard, "_check_spec", lambda *_: None)


CONTROLS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "assertions": (
        no_assertions,
        ("pressed at another origin", "pressed without verification", "garbage for a signature", "pressed to log in"),
    ),
    "proposals": (no_proposals, ("a proposal signed by another key", "an unregistered proposal key")),
    "claims": (any_claim, ("the approvals of another order", "what was shown was something else")),
    "rules": (
        no_rules,
        ("no approvals", "approved to a stranger", "approved above the limit", "people of another group"),
    ),
    "key": (no_look_at_the_key, ("another key", "another epochs hash", "too many signers")),
    "digest": (no_look_at_what_is_signed, ("another digest", "another path", "another decision", "nothing to sign")),
    "session": (no_look_at_the_session, ("a session of another request", "a test signature instead")),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_with_a_check_switched_off_its_lies_are_believed(
    five: Five, scene: Scene, monkeypatch: Patch, name: str
) -> None:
    switch_off, lies = CONTROLS[name]
    for lie in lies:
        attempt = hostile(scene, (1, 2, 3), [LIES[lie]], stolen=False)
        request, spec = scene.request(attempt), scene.session(attempt)
        assert five.nodes[1].asked(spec, request, scene.now) is not None, lie
        with monkeypatch.context() as inner:
            switch_off(inner)
            assert five.nodes[1].asked(replace(spec, session_id=spec.session_id), request, scene.now) is None, lie
            with pytest.raises(AssertionError):
                every_honest_node_refuses(scene, five, attempt, [(1, 2, 3)], (), Tally())


def test_a_node_that_skips_all_checks_takes_part_in_every_lie_and_the_suite_notices(five: Five, scene: Scene) -> None:
    node = five.nodes[3]
    node.corrupt()
    for lie in LIES.values():
        attempt = hostile(scene, (1, 2, 3), [lie], stolen=True)
        assert node.asked(scene.session(attempt), scene.request(attempt), scene.now) is None
        with pytest.raises(AssertionError):
            every_honest_node_refuses(scene, five, attempt, [(1, 2, 3)], (1, 2), Tally())
