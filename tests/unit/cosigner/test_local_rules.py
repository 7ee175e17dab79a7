"""A team's own rules: they are read by the same engine, and there is nothing that they could make a node sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosigner import keys as keys_module
from cosigner.config import load
from cosigner.guard import Signing
from cosigner.local_rules import LIMIT, LocalRules
from oms_core.approvals import Approval
from oms_core.authorize import authorize
from oms_core.chains.intent import Intent
from oms_core.encoding import encode
from oms_core.errors import CountersealError, LocalError, Reason, Refused
from oms_core.evidence import ReadRequest, SignRequest
from oms_core.keys import Change, KeyState
from oms_core.policy.facts import Facts
from oms_core.policy.rules import DAY
from oms_core.workspace import workspace_digest
from tests.people import (
    DENIED,
    EXECUTION,
    NOW,
    STRANGE,
    approve,
    change,
    change_request,
    intent,
    propose,
    sign_request,
    workspace,
)
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.specs import deal, new_moduli, refused, spec

DENY = "- rule: not-on-my-watch\n  deny:\n  when: {action: TRANSFER, amount: above 40}\n"
CAP = "- rule: small\n  limit: {amount: 70, every: 24h}\n  when: {asset: ETH, fee: no}\n"
ASK = "- rule: ask-olga\n  require: {approvals: 1, from users: [olga]}\n  when: {action: TRANSFER}\n"
WAIT = "- rule: sleep-on-it\n  require: {delay: 1h}\n  when: {action: TRANSFER}\n"
KEYS = "- rule: keep-the-key\n  deny:\n  when: {action: KEY_CHANGE}\n"
PERMIT = "- rule: all-of-it\n  permit:\n  when: {action: TRANSFER}\n"


@pytest.fixture
def active(node: Node) -> Node:
    """A node with the tests' workspace and key."""
    activate(node)
    return node


def test_a_local_denial_refuses_what_the_workspace_permits_and_names_its_rule(active: Node) -> None:
    request = sign_request(intent())
    assert isinstance(active.guarded().decide(spec(request), request, NOW), Signing)
    error = refused(active.guarded(DENY), spec(request), request)
    assert error.reason == Reason.DENIED_BY_RULE
    assert "not-on-my-watch" in error.message
    assert error.details["rule"] == "local:not-on-my-watch"


def test_what_a_local_rule_does_not_concern_is_signed(active: Node) -> None:
    request = sign_request(intent(40))
    for rules in (DENY, CAP, KEYS):
        assert isinstance(active.guarded(rules).decide(spec(request), request, NOW), Signing)


def test_a_local_limit_looks_further_back_than_any_limit_of_the_workspace(active: Node) -> None:
    """The workspace's limits look back a day, this one a week."""
    active.log.authorize(sign_request(intent(60, intent_id="int_0", valid_from=NOW - 3 * DAY)), at=NOW - 2 * DAY)
    request = sign_request(intent(20), execution=replace(EXECUTION, nonce=8))
    week = CAP.replace("24h", "7d")
    error = refused(active.guarded(week), spec(request), request)
    assert (error.reason, error.details["rule"]) == (Reason.VELOCITY_EXCEEDED, "local:small")
    with pytest.raises(Refused, match="small"):
        active.guarded(week).read(ReadRequest(request.proposal, workspace_digest(workspace())), NOW)
    assert isinstance(active.guarded(CAP).decide(spec(request), request, NOW), Signing)


def test_a_local_rule_may_ask_for_a_person_whom_the_workspace_does_not_ask(active: Node) -> None:
    subject = intent()
    alone, asked = sign_request(subject), sign_request(subject, approve(subject, "olga"))
    error = refused(active.guarded(ASK), spec(alone), alone)
    assert error.reason == Reason.APPROVAL_MISSING
    assert "ask-olga" in error.message
    assert isinstance(active.guarded(ASK).decide(spec(asked), asked, NOW), Signing)


def test_a_local_delay_counts_from_when_this_node_could_first_have_signed(active: Node) -> None:
    guard, request = active.guarded(WAIT), sign_request(intent(valid_until=NOW + 9000))
    assert refused(guard, spec(request), request).reason == Reason.DELAYED
    assert isinstance(guard.decide(spec(request), request, NOW + 3600), Signing)


def test_a_local_rule_refuses_to_deal_a_key_anew(active: Node) -> None:
    request = deal()
    error = refused(active.guarded(KEYS), new_moduli(request), request)
    assert error.details["rule"] == "local:keep-the-key"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which keys are changed."""
    clock = SimpleNamespace(at=NOW)
    monkeypatch.setattr(keys_module, "time", SimpleNamespace(time=lambda: clock.at))
    return clock


def asked(wanted: Change, **changes: object) -> bytes:
    wish = change(wanted, **changes)
    return encode(change_request(wish, approve(wish, "sam"), approve(wish, "sonja")))


def test_a_local_rule_also_keeps_a_key_in_its_state(active: Node, now: SimpleNamespace) -> None:
    keeping = active.keeping(KEYS)
    with pytest.raises(Refused) as caught:
        keeping.change(asked(Change.DEACTIVATE))
    assert caught.value.details["rule"] == "local:keep-the-key"
    assert keeping.change(asked(Change.SUSPEND)).receipt.state == KeyState.SUSPENDED


def test_a_wish_for_a_state_that_has_to_wait_is_carried_out_after_its_delay(active: Node, now: SimpleNamespace) -> None:
    keeping = active.keeping("- rule: sleep-on-it\n  require: {delay: 5m}\n  when: {action: KEY_CHANGE}\n")
    data = asked(Change.DEACTIVATE)
    for at in (NOW, NOW + 299):
        now.at = at
        with pytest.raises(Refused) as caught:
            keeping.change(data)
        assert caught.value.reason == Reason.DELAYED
    now.at = NOW + 300
    assert keeping.change(data).receipt.state == KeyState.DEACTIVATED


def test_a_local_rule_may_want_to_know_a_cosigner_among_those_who_sign(active: Node) -> None:
    request = sign_request(intent())
    rule = "- rule: with-five\n  require: {cosigners: [5]}\n  when: {action: TRANSFER}\n"
    guard = active.guarded(rule)
    assert refused(guard, spec(request, parties=(1, 2, 3)), request).reason == Reason.QUORUM_UNAVAILABLE
    assert isinstance(guard.decide(spec(request, parties=(1, 2, 5)), request, NOW), Signing)


def test_a_node_says_before_people_are_asked_that_its_local_rules_are_against_it(active: Node) -> None:
    request = ReadRequest(propose(intent()), workspace_digest(workspace()))
    with pytest.raises(Refused) as caught:
        active.guarded(DENY).read(request, NOW)
    assert caught.value.details["rule"] == "local:not-on-my-watch"
    for rules in (ASK, WAIT):
        active.guarded(rules).read(request, NOW)  # people and time are still to come


# What can be no local rule


@pytest.mark.parametrize("text", [PERMIT, DENY + PERMIT, PERMIT.replace("permit:", "permit:\n  enabled: no")])
def test_a_permit_is_no_local_rule_and_the_node_does_not_start_with_one(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        LocalRules(text, "local-rules.yaml").start(workspace())
    assert caught.value.reason == Reason.CONFIG_INVALID
    assert "local-rules.yaml: rule all-of-it is a PERMIT; local rules can only refuse" in caught.value.message


@pytest.mark.parametrize(
    "text", ["nonsense", "- rule: x\n", DENY + DENY.replace("TRANSFER", "TRANSFAIR"), "- [", "\x00", DENY + DENY]
)
def test_what_is_not_a_rule_stops_the_start_and_names_the_file(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        LocalRules(text, "local-rules.yaml").start(workspace())
    assert (caught.value.reason, "local-rules.yaml: " in caught.value.message) == (Reason.CONFIG_INVALID, True)


def test_rules_that_the_workspace_no_longer_explains_refuse_everything(active: Node) -> None:
    """An asset that rules name may go with a new version of the workspace: then nobody knows what they mean."""
    guard = active.guarded(CAP.replace("ETH", "GONE"))
    request = sign_request(intent(40))
    assert refused(guard, spec(request), request).reason == Reason.CONFIG_INVALID


def test_the_file_is_named_in_the_configuration_beside_it(active: Node, tmp_path: Path) -> None:
    config = active.home / "cosigner.toml"
    assert load(config).local_rules is None
    config.write_text('local_rules = "local-rules.yaml"\n' + config.read_text())
    path = load(config).local_rules
    assert path == active.home / "local-rules.yaml"
    with pytest.raises(LocalError):
        LocalRules.load(path)
    path.write_text(DENY + CAP)
    assert LocalRules.load(path).start(workspace()) == 2
    path.write_text("#" * (LIMIT + 1))
    with pytest.raises(LocalError):
        LocalRules.load(path)
    assert LocalRules.load(None).start(workspace()) == 0


# Nothing that a team writes makes its node sign

_CONDITIONS = [
    "",
    "when: {action: TRANSFER}",
    "when: {action: [CALL, APPROVE]}",
    "when: {amount: above 40}",
    "when: {amount: at most 40}",
    "when: {destination.type: ONE_TIME}",
    "when: {destination.address: not 0x1111111111111111111111111111111111111111}",
    "when: {initiator.user: desk}",
    "when: {opaque: yes}",
    "when: {simulation.loss: above 1}",
]
_EFFECTS = [
    "deny:",
    "limit: {amount: 10}",
    "limit: {amount: 100,000,000,000,000,000, every: 24h}",
    "limit: {count: 1, every: 7d}",
    "require: {approvals: 1, from groups: [risk]}",
    "require: {approvals: 2, from users: [ravi, olga]}",
    "require: {delay: 1h}",
    "require: {cosigners: [1]}",
]


@st.composite
def local_rules(draw: st.DrawFn) -> str:
    """A file of local rules."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        condition = draw(st.sampled_from(_CONDITIONS))
        lines = [f"- rule: local-{number}", f"  {draw(st.sampled_from(_EFFECTS))}"]
        made += [*lines, *([f"  {condition}"] if condition else [])]
    return "\n".join(made)


def orders() -> list[SignRequest]:
    """Good ones, and ones that lack something."""

    def made(subject: Intent, *approvals: Approval) -> SignRequest:
        return sign_request(subject, *approvals)

    small, large = intent(30), intent(500)
    both = (approve(large, "ravi"), approve(large, "olga"))
    good = [made(small), made(small, approve(small, "olga")), made(large, *both)]
    wrong = [intent(30, to=STRANGE), intent(30, to=DENIED), intent(5000), intent(30, valid_until=NOW)]
    forged = replace(made(small), proposal=replace(propose(small), signature=propose(large).signature))
    return [*good, made(large), made(large, both[0]), *map(made, wrong), forged]


ORDERS = orders()


def allowed(request: SignRequest, local: LocalRules | None) -> bool:
    """Whether the workspace, and these rules if there are any, let it be signed."""
    facts = Facts(NOW, seen_at=NOW)
    try:
        authorized = authorize(request, workspace(), facts)
        if local is not None:
            local.check_authorized(workspace(), authorized, facts)
    except CountersealError:
        return False
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=local_rules(), number=st.integers(0, len(ORDERS) - 1))
def test_no_local_rules_make_a_node_sign_what_it_would_not(text: str, number: int) -> None:
    local = LocalRules(text, "local-rules.yaml")
    local.start(workspace())
    if allowed(ORDERS[number], local):
        assert allowed(ORDERS[number], None)


@settings(max_examples=60, deadline=None)
@given(text=local_rules(), more=local_rules(), number=st.integers(0, len(ORDERS) - 1))
def test_each_local_rule_more_can_only_refuse_more(text: str, more: str, number: int) -> None:
    both = LocalRules(text + "\n" + more.replace("local-", "more-"), "local-rules.yaml")
    if allowed(ORDERS[number], both):
        assert allowed(ORDERS[number], LocalRules(text, "local-rules.yaml"))


def test_the_property_is_about_something() -> None:
    assert [allowed(one, None) for one in ORDERS] == [True, True, True, *[False] * 7]
