"""The key of a wallet: who asked for it, that rules and people allowed it, and that all its holders confirmed it."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.items import Told, first, of
from auditor.report import Claims, must, numbers
from auditor.versions import Versions
from oms_core.authorize import authorize
from oms_core.chains.evm import address_of, to_checksum
from oms_core.chains.intent import CreateWallet, Proposal, subject_digest
from oms_core.crypto.bip32 import derive
from oms_core.crypto.curve import Point
from oms_core.errors import CountersealError, ProofInvalid, Reason
from oms_core.evidence import CreateRequest
from oms_core.log.documents import Confirmations
from oms_core.log.entries import AUTHORIZED
from oms_core.policy.facts import Facts
from oms_core.protocol.shares import KeyConfirmation, check_confirmations
from oms_core.workspace import Workspace, identities

BEGINS = ("wallet.pending_approval", "wallet.generating")
CONFIRMED, DEALT_ANEW = "wallet.pre_active", "wallet.epoch"


@dataclass(frozen=True, slots=True)
class Key:
    """A wallet's key, as all its holders have confirmed it."""

    wallet_id: str
    public: Point
    chain_code: bytes

    def account(self, path: tuple[int, ...]) -> bytes:
        """The 20-byte account at a path."""
        return address_of(derive(self.public, self.chain_code, path).public_key)


def verify_key(claims: Claims, wallet_id: str, told: list[Told], versions: Versions) -> Key:
    """The key that ``told``, the log's entries about a wallet, come to. Raises `ProofInvalid`."""
    words = f"cosigners were asked to make wallet {wallet_id} as its initiator wished and the rules then required"
    with claims.claim(words):
        wish, under, asked = _asked_for(wallet_id, told, versions)
    with claims.claim(f"its key is confirmed by each of cosigners {numbers(wish.parties)} under its identity key"):
        made = first(told, CONFIRMED)
        _check_before(made, asked, versions)
        roster = {index: identities(under)[index] for index in wish.parties}
        said = check_confirmations(made.document(Confirmations).signed, roster)
        must((said.wallet_id, said.key_id) == (wallet_id, subject_digest(wish)), "they confirm another wallet's key")
    newest = said.epoch, tuple(wish.parties)
    for one in of(told, DEALT_ANEW):
        index = one.entry.index
        if one.record is None:
            claims.note(f"it was dealt anew in entry {index}, and to whom is not here")
            continue
        with claims.claim(
            f"it was dealt anew in entry {index}, and whom that names as its holders confirm the same key"
        ):
            newest = _check_epoch(one, said, newest, versions)
        claims.add(f"these are cosigners {numbers(newest[1])}")
    key = Key(wallet_id, said.public_key, said.chain_code)
    claims.add(f"so the wallet's account is {to_checksum(key.account(()))}")
    return key


def _asked_for(wallet_id: str, told: list[Told], versions: Versions) -> tuple[CreateWallet, Workspace, list[Told]]:
    begun, asked = first(told, *BEGINS), of(told, AUTHORIZED)
    must(bool(asked), "no entry says that cosigners were asked for it")
    lost = begun.record is None  # in a log that was got back; it stands in what cosigners were asked for as well
    proposal = asked[0].asked(CreateRequest).proposal if lost else begun.document(Proposal)
    for one in asked:
        request = one.asked(CreateRequest)
        must(request.proposal == proposal, f"entry {one.entry.index} asks for something else than was proposed")
        under = versions.used(request.workspace, one.entry)
        # What a delay counts from is each node's own first sight: they counted it, and the log cannot.
        authorize(request, under, Facts(one.entry.at, seen_at=0), versions.by_digest)
    wish = proposal.subject
    assert isinstance(wish, CreateWallet)
    must(wish.wallet_id == wallet_id, "it is a wish for another wallet")
    return wish, under, asked


def _check_before(made: Told, asked: list[Told], versions: Versions) -> None:
    """Cosigners were asked before they made it, and under rules that they had not yet to go on from."""
    before = [one for one in asked if one.entry.index < made.entry.index]
    must(bool(before), "they confirm it before they were asked for it")
    late = all(versions.overtaken(one.asked(CreateRequest).workspace, one.entry) for one in before)
    must(not late, "a newer version of the workspace was due when they were asked", Reason.POLICY_VERSION_MISMATCH)


_Epoch = tuple[int, tuple[int, ...]]
"""Its number, and who holds it."""


def _check_epoch(one: Told, said: KeyConfirmation, newest: _Epoch, versions: Versions) -> _Epoch:
    """Confirmed under some roster that there was by then, since a reshared key may go to new members.

    It is later than the ``newest``, or is that one, which a coordinator that was interrupted writes down again.
    """
    signed = one.document(Confirmations).signed
    members = [each.confirmation.index for each in signed]
    failed: CountersealError = ProofInvalid("no version of the workspace has these holders")
    for workspace in versions.known_at(one.entry.index):
        keys = identities(workspace)
        if not members or not set(members) <= set(keys):
            continue
        try:
            again = check_confirmations(signed, {index: keys[index] for index in members})
        except CountersealError as error:
            failed = error
            continue
        same = (said.wallet_id, said.key_id, said.public_key, said.chain_code)
        must((again.wallet_id, again.key_id, again.public_key, again.chain_code) == same, "it is another key")
        dealt = again.epoch, tuple(members)
        must(dealt[0] > newest[0] or (dealt == newest and dealt[0] > said.epoch), "it is not a later epoch")
        return dealt
    raise failed
