"""What differs between two versions of the workspace: each part in words, and whether it loosens or tightens.

Whatever is not provably a tightening is a loosening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from oms_core.chains.evm import to_checksum
from oms_core.policy.rules import Kind
from oms_core.workspace import Direction, EntryState, Workspace
from oms_core.workspace import losing as lose
from oms_core.workspace.narrower import tightens
from oms_core.workspace.words import credential_words, entry_words, governance_words, rule_words, time_words

_LOOSEN, _TIGHTEN = Direction.LOOSEN, Direction.TIGHTEN
_GONE = {EntryState.ACTIVE: 0, EntryState.SUSPENDED: 1, EntryState.REVOKED: 2}


@dataclass(frozen=True, slots=True)
class Part:
    """One difference: where it is (``users/tara/roles``), what it does in words, and its direction."""

    path: str
    words: str
    direction: Direction


def parts(old: Workspace, new: Workspace) -> tuple[Part, ...]:
    """Every difference between two versions but their numbers and dates. Order in lists counts as a difference."""
    return tuple(_Comparison(old, new).all())


def direction_of(found: Iterable[Part]) -> Direction:
    """LOOSEN if any part loosens."""
    return _LOOSEN if any(part.direction is _LOOSEN for part in found) else _TIGHTEN


def direction(old: Workspace, new: Workspace) -> Direction:
    """LOOSEN if any part of the change does."""
    return direction_of(parts(old, new))


class _Comparison:
    """Two versions side by side, and the rules of both, on which it depends whether a loss is one."""

    def __init__(self, old: Workspace, new: Workspace) -> None:
        self.old, self.new = old, new
        self.rules = (*old.rules, *new.rules)

    def all(self) -> Iterator[Part]:
        """In the order in which people read."""
        old, new = self.old, self.new
        yield from self._top()
        yield from _keyed("users", old.users, new.users, "user_id", self._user_added, self._user)
        yield from _keyed("roles", old.roles, new.roles, "role", _role_words, self._role, self._role_leaves)
        yield from _keyed("groups", old.groups, new.groups, "group_id", _group_words, self._group, self._group_leaves)
        yield from self._incompatible()
        yield from _keyed("roster", old.roster, new.roster, "index", _member_words, _plainly, _never)
        yield from _keyed("wallets", old.wallets, new.wallets, "wallet_id", _wallet_words, _plainly, _never)
        yield from _keyed("assets", old.assets, new.assets, "asset", _asset_words, self._asset)
        for book in ("address_book", "contracts"):
            yield from _keyed(
                book, getattr(old, book), getattr(new, book), "entry_id", entry_words, self._entry, self._entry_leaves
            )
        yield from self._rules()
        yield from _keyed("governance", old.governance, new.governance, "direction", governance_words, _plainly, _never)

    def _top(self) -> Iterator[Part]:
        old, new = self.old, self.new
        for name in ("name", "rp_id"):
            yield from _plain(name, getattr(old, name), getattr(new, name))
        yield from _sets("origins", old.origins, new.origins)
        if bool(old.aaguids) != bool(new.aaguids):
            words = "Only listed models" if new.aaguids else "ANY model"
            which = ", ".join(one.hex() for one in new.aaguids)
            yield Part("aaguids", f"{words} of authenticators may be enrolled {which}", _way(not new.aaguids))
        else:
            yield from _sets("aaguids", old.aaguids, new.aaguids)
        if old.distinct_operators != (apart := new.distinct_operators):
            words = "No two" if apart else "Several"
            yield Part("distinct_operators", f"{words} cosigners of one operator may sign together", _way(not apart))
        was, now = old.refusals_block_at, new.refusals_block_at
        if was != now:
            words = f"{now} refusals instead of {was} end an order for good"
            yield Part("refusals_block_at", words, _way(now > was))
        yield from _log(old.log, new.log)

    def _user_added(self, one: Any) -> str:
        keys = "; ".join(credential_words(credential) for credential in one.credentials) or "no credentials"
        proposes = ", ".join(f"{key.key_id} {key.public.hex()}" for key in one.proposal_keys) or "none"
        where = f"team {one.team}, site {one.site or 'none'}"
        state = "enabled" if one.enabled else "disabled"
        roles = ", ".join(one.roles) or "none"
        return f"{one.name} (person {one.person_id}, {where}), {state}; roles {roles}; {keys}; proposal keys {proposes}"

    def _user(self, path: str, old: Any, new: Any) -> Iterator[Part]:
        for name in ("person_id", "name", "team", "site"):
            yield from _plain(f"{path}/{name}", getattr(old, name), getattr(new, name))
        if old.enabled != new.enabled:
            does = "may act again" if new.enabled else "is disabled: proposes and approves nothing"
            yield Part(f"{path}/enabled", f"{new.name} ({new.user_id}) {does}", _way(new.enabled))
        yield from _sets(
            f"{path}/roles", old.roles, new.roles, lambda role: self._loses({"initiator.role": (str(role),)})
        )
        yield from _keyed(
            f"{path}/credentials", old.credentials, new.credentials, "credential_id", credential_words, _credential
        )
        yield from _keyed(f"{path}/proposal_keys", old.proposal_keys, new.proposal_keys, "key_id", _key_words, _plainly)

    def _role(self, path: str, old: Any, new: Any) -> Iterator[Part]:
        yield from _sets(f"{path}/may", old.may, new.may)
        if old.wallets == ("*",) and new.wallets:
            yield Part(f"{path}/wallets", f"only for {', '.join(new.wallets)} instead of every wallet", _TIGHTEN)
        else:
            yield from _sets(f"{path}/wallets", old.wallets, new.wallets)

    def _group(self, path: str, old: Any, new: Any) -> Iterator[Part]:
        tighter = self._loses({"initiator.group": (new.group_id,)})
        yield from _sets(f"{path}/members", old.members, new.members, lambda _: tighter)

    def _role_leaves(self, one: Any) -> bool:
        return self._loses({"initiator.role": (one.role,)})

    def _group_leaves(self, one: Any) -> bool:
        return self._loses({"initiator.group": (one.group_id,)})

    def _entry_leaves(self, one: Any) -> bool:
        return lose.leaving_tightens(self.rules, one)

    def _loses(self, marks: lose.Marks) -> bool:
        return lose.losing_tightens(self.rules, marks)

    def _incompatible(self) -> Iterator[Part]:
        old, new = ({(one.first, one.second): one.why for one in each.incompatible} for each in (self.old, self.new))
        for pair in sorted({*old, *new}):
            both = " and ".join(pair)
            if pair not in old:
                yield Part(f"incompatible/{both}", f"nobody may hold {both} together: {new[pair]}", _TIGHTEN)
            elif pair not in new:
                yield Part(f"incompatible/{both}", f"{both} may be held together", _LOOSEN)
            else:
                yield from _plain(f"incompatible/{both}/why", old[pair], new[pair])
        yield from _order("incompatible", *([" and ".join(pair) for pair in each] for each in (old, new)))

    def _asset(self, path: str, old: Any, new: Any) -> Iterator[Part]:
        for name in ("symbol", "decimals", "usd_micro"):
            yield from _plain(f"{path}/{name}", getattr(old, name), getattr(new, name))
        yield from _sets(f"{path}/classes", old.classes, new.classes, lambda _: False)
        if old.code_hash != new.code_hash:
            pinned = _way(bool(old.code_hash))
            yield Part(f"{path}/code_hash", f"code {_shown(new.code_hash)} instead of {_shown(old.code_hash)}", pinned)

    def _entry(self, path: str, old: Any, new: Any) -> Iterator[Part]:
        for field in fields(new):
            name = field.name
            was, now = getattr(old, name), getattr(new, name)
            if name == "entry_id" or was == now:
                continue
            if name in ("tags", "unwraps"):
                yield from _sets(f"{path}/{name}", was, now, lambda _: False)
            elif name == "methods":
                yield from _sets(f"{path}/{name}", was, now, lambda _: lose.unreadable_tightens(self.rules))
            elif name == "state":
                yield Part(f"{path}/state", f"{new.label} is {now} instead of {was}", _way(_GONE[now] < _GONE[was]))
            elif name == "expires_at":
                words = f"{new.label} expires {_until(now)} instead of {_until(was)}"
                yield Part(f"{path}/expires_at", words, _way(not now or (was != 0 and now > was)))
            else:
                yield from _plain(f"{path}/{name}", was, now)

    def _rules(self) -> Iterator[Part]:
        old, new = ({rule.rule_id: rule for rule in each.rules} for each in (self.old, self.new))
        for rule_id in sorted({*old, *new}):
            path = f"rules/{rule_id}"
            if rule_id not in old:
                opens = new[rule_id].kind is Kind.PERMIT or not new[rule_id].enabled
                yield Part(path, f"new rule: {rule_words(new[rule_id], self.new)}", _way(opens))
            elif rule_id not in new:
                opens = old[rule_id].kind is not Kind.PERMIT
                yield Part(path, f"rule taken away: {rule_words(old[rule_id], self.old)}", _way(opens))
            elif old[rule_id] != new[rule_id]:
                was, now = rule_words(old[rule_id], self.old), rule_words(new[rule_id], self.new)
                yield Part(
                    path, f"rule changed to: {now} -- it was: {was}", _way(not tightens(old[rule_id], new[rule_id]))
                )
        yield from _order("rules", list(old), list(new))


def _keyed(
    path: str,
    old: tuple[Any, ...],
    new: tuple[Any, ...],
    key: str,
    words: Callable[[Any], str],
    compare: Callable[[str, Any, Any], Iterator[Part]],
    leaving_tightens: Callable[[Any], bool] = lambda _: True,
) -> Iterator[Part]:
    """Entries by name: what comes loosens, what goes tightens where it can only hold back, the rest is compared."""
    was, now = ({_shown(getattr(one, key)): one for one in each} for each in (old, new))
    for name in sorted({*was, *now}):
        at = f"{path}/{name}"
        if name not in was:
            yield Part(at, f"added: {words(now[name])}", _LOOSEN)
        elif name not in now:
            yield Part(at, f"taken away: {words(was[name])}", _way(not leaving_tightens(was[name])))
        elif was[name] != now[name]:
            yield from compare(at, was[name], now[name])
    yield from _order(path, list(was), list(now))


def _sets(
    path: str,
    old: tuple[Any, ...],
    new: tuple[Any, ...],
    losing_tightens: Callable[[Any], bool] = lambda _: True,
) -> Iterator[Part]:
    for value in new:
        if value not in old:
            yield Part(path, f"with {_shown(value)}", _LOOSEN)
    for value in old:
        if value not in new:
            yield Part(path, f"without {_shown(value)}", _way(not losing_tightens(value)))
    yield from _order(path, [_shown(value) for value in old], [_shown(value) for value in new])


def _order(path: str, old: list[str], new: list[str]) -> Iterator[Part]:
    """What stays, in another order: nobody reads it so, but it is not the same document."""
    if [one for one in old if one in new] != [one for one in new if one in old]:
        yield Part(path, f"in another order: {', '.join(new)}", _LOOSEN)


def _plain(path: str, old: object, new: object) -> Iterator[Part]:
    if old != new:
        yield Part(path, f"{_shown(new)} instead of {_shown(old)}", _LOOSEN)


def _plainly(path: str, old: Any, new: Any) -> Iterator[Part]:
    for field in fields(new):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name == "approvals":
            was, now = governance_words(old), governance_words(new)
        yield from _plain(f"{path}/{field.name}", was, now)


def _credential(path: str, old: Any, new: Any) -> Iterator[Part]:
    """To revoke is the one change of a credential that only takes away."""
    for name in ("public_key", "aaguid", "assurance", "attestation"):
        yield from _plain(f"{path}/{name}", getattr(old, name), getattr(new, name))
    if old.revoked != new.revoked:
        yield Part(f"{path}/revoked", "revoked" if new.revoked else "NO LONGER revoked", _way(not new.revoked))


def _log(old: Any, new: Any) -> Iterator[Part]:
    """The longer a node trusts what it has seen, the longer it can be left behind."""
    for name in ("origin", "public"):
        yield from _plain(f"log/{name}", getattr(old, name), getattr(new, name))
    for name in ("fresh_for", "degraded_window"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield Part(f"log/{name}", f"{now} s instead of {was} s", _way(now > was))


def _way(loosens: bool) -> Direction:
    return _LOOSEN if loosens else _TIGHTEN


def _never(_: Any) -> bool:
    return False


def _until(seconds: int) -> str:
    return time_words(seconds) if seconds else "never"


def _shown(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bytes):
        return to_checksum(value) if len(value) == 20 else value.hex() or "nothing"
    if isinstance(value, tuple):
        return ", ".join(_shown(one) for one in value) or "nothing"
    return str(value) or "nothing"


def _role_words(one: Any) -> str:
    return f"role {one.role} may {_shown(one.may)} for wallets {_shown(one.wallets)}"


def _group_words(one: Any) -> str:
    return f"group {one.group_id} of {_shown(one.members)}"


def _member_words(one: Any) -> str:
    where = f"{one.name} of operator {one.operator}, team {one.team}, site {one.site}"
    return f"cosigner {one.index} {where}, identity {one.identity.hex()}, witness {one.witness.hex()}"


def _wallet_words(one: Any) -> str:
    return f"wallet {one.wallet_id}, tier {one.tier or 'none'}, tags {_shown(one.tags)}"


def _asset_words(one: Any) -> str:
    price = f"{one.usd_micro} micro-USD" if one.usd_micro else "no price"
    kind = f"{one.decimals} decimals, classes {_shown(one.classes)}, code {_shown(one.code_hash)}"
    return f"asset {one.asset} as {one.symbol}, {kind}, {price}"


def _key_words(one: Any) -> str:
    return f"proposal key {one.key_id} {one.public.hex()}"
