"""Verify an evidence pack: from one digest that was agreed at the ceremony, without a network, claim by claim."""

from __future__ import annotations

from itertools import pairwise

from auditor.anchors import verify_pack_anchor
from auditor.heads import Vouched, verify_head
from auditor.items import Told, check_previous, of
from auditor.keys import verify_key
from auditor.orders import read_intent, verify_order
from auditor.pack import Pack, read_pack
from auditor.report import Claims, Report, must, when
from auditor.versions import Versions, read_genesis
from oms_core.errors import Malformed, Reason
from oms_core.log.entries import AUTHORIZED, GENESIS, WORKSPACE_APPROVED, read_entry, read_record
from oms_core.log.tree import leaf_hash, verify_inclusion
from oms_core.workspace import workspace_digest


def verify_pack(data: bytes, pinned: bytes, block_hash: bytes | None = None) -> Report:
    """Everything that a pack shows, in the order in which an auditor reads it.

    ``pinned`` is the digest (32 bytes) of the workspace as agreed at the ceremony, ``block_hash`` (32 bytes) that of
    the block of the pack's anchor, from a source that the auditor trusts. Raises `Malformed` for what is no pack, and
    `ProofInvalid` naming the first claim that does not hold.
    """
    pack, claims = read_pack(data), Claims()
    with claims.claim(f"the log begins with the workspace that was agreed, {pinned.hex()}"):
        versions = _begin(pack, pinned)
    told = _records(claims, pack)
    for one in of(told, WORKSPACE_APPROVED):
        entry = one.entry
        with claims.claim(f"people changed the workspace in entry {entry.index}, at {when(entry.at)}, as it allows"):
            versions.extend(entry, one.kept)
    vouched = _verify_tree(claims, pack, told, versions)
    intent = _verify_shape(claims, pack, told)
    key = verify_key(claims, intent, [one for one in told if one.entry.subject == intent], versions)
    verify_order(claims, [one for one in told if one.entry.subject == pack.subject], versions, key)
    _note_limits(claims, versions, vouched)
    verify_pack_anchor(claims, pack, told, versions, vouched.checkpoint, block_hash)
    return Report(pack.subject, vouched.checkpoint.size, tuple(sorted(vouched.cosigned)), tuple(claims.words))


def _note_limits(claims: Claims, versions: Versions, vouched: Vouched) -> None:
    """What no pack shows."""
    size, number = vouched.checkpoint.size, versions.newest.version
    claims.note("limits over time, and that an approval was used once only, are shown by the whole log alone")
    claims.note("that each entry names the one before it rightly, so that none of the order's is hidden, is as well")
    claims.note(f"nothing is said of what came after entry {size - 1}, or of a version of the workspace after {number}")


def _begin(pack: Pack, pinned: bytes) -> Versions:
    must(bool(pack.items), "the pack holds nothing")
    entry = read_entry(pack.items[0].item.entry)
    genesis = read_genesis(entry, read_record(entry, pack.items[0].item))
    must(workspace_digest(genesis) == pinned, "it begins with another one", Reason.POLICY_VERSION_MISMATCH)
    return Versions(genesis)


def _records(claims: Claims, pack: Pack) -> list[Told]:
    """Each item's record is the one that its entry commits to."""
    told, erased = list[Told](), list[str]()
    with claims.claim(f"each of {len(pack.items)} records is the one that its entry commits to"):
        for held in pack.items:
            entry = read_entry(held.item.entry)
            record = read_record(entry, held.item)
            told.append(Told(entry, record))
            if record is None:
                must(entry.event not in (GENESIS, WORKSPACE_APPROVED, AUTHORIZED), f"entry {entry.index} was erased")
                erased.append(f"{entry.index} ({entry.event})")
    if erased:
        listed = ", ".join(erased)
        claims.note(f"not here, erased or left out, are the records of entries {listed}; nothing here rests on them")
    return told


def _verify_tree(claims: Claims, pack: Pack, told: list[Told], versions: Versions) -> Vouched:
    number = versions.newest.version
    with claims.claim(f"the checkpoint is signed by the log and by its witnesses, as version {number} names them"):
        vouched = verify_head(pack.checkpoint, versions.newest, versions.by_digest.values())
    size, root = vouched.checkpoint.size, vouched.checkpoint.root
    claims.add(f"it is of {size} entries, {vouched.words}")
    with claims.claim("each entry stands in the log under this checkpoint, at its index"):
        for held, one in zip(pack.items, told, strict=True):
            verify_inclusion(leaf_hash(held.item.entry), one.entry.index, size, held.path, root)
    with claims.claim("each stands once, and their times never fall"):
        for before, after in pairwise(told):
            must(before.entry.index < after.entry.index, f"entry {after.entry.index} stands behind a later one")
            must(before.entry.at <= after.entry.at, f"entry {after.entry.index} is of an earlier time than one before")
    with claims.claim("none is of a later time than its witnesses say that it is"):
        vouched.check_time(told[-1].entry.at)
    return vouched


def _verify_shape(claims: Claims, pack: Pack, told: list[Told]) -> str:
    """Nothing is missing in between, and nothing is there that does not belong; returns the wallet's id."""
    if not pack.subject.startswith("txn_"):
        raise Malformed("a pack is about an order, txn_…")
    about = [one for one in told if one.entry.subject == pack.subject]
    with claims.claim(f"the log's entries about {pack.subject} lead one to the other without a gap"):
        check_previous(about, pack.subject)
    with claims.claim("they begin with the order as it was proposed"):
        wallet_id = read_intent(about)[1].wallet_id
    with claims.claim(f"the log's entries about wallet {wallet_id} lead one to the other without a gap"):
        check_previous([one for one in told if one.entry.subject == wallet_id], wallet_id)
    with claims.claim("the pack holds nothing else"):
        known = {pack.subject, wallet_id, *([pack.anchor.order] if pack.anchor else [])}
        for one in told:
            belongs = one.entry.subject in known or one.entry.event in (GENESIS, WORKSPACE_APPROVED)
            must(belongs, f"entry {one.entry.index} is about {one.entry.subject or 'nothing'}")
    return wallet_id
