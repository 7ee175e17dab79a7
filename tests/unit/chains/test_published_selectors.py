"""The methods and forms that are looked into, by the selectors and type hashes under which the chain knows them."""

from __future__ import annotations

import pytest

from oms_core.chains.keccak import keccak256
from oms_core.chains.money import MONEY
from oms_core.chains.router import EXECUTE
from oms_core.chains.signed_forms import _FORMS
from oms_core.chains.wrappers import WRAPPERS

TOKENS = {
    "a9059cbb": "transfer", "23b872dd": "transferFrom", "095ea7b3": "approve", "39509351": "increaseAllowance",
    "a457c2d7": "decreaseAllowance", "d73dd623": "increaseApproval", "66188463": "decreaseApproval",
    "a22cb465": "setApprovalForAll", "42842e0e": "safeTransferFrom", "b88d4fde": "safeTransferFrom",
    "f242432a": "safeTransferFrom", "2eb2c2d6": "safeBatchTransferFrom", "d505accf": "permit", "8fcbaf0c": "permit",
    "9fd5a6cf": "permit", "4000aea0": "transferAndCall", "cae9ca51": "approveAndCall", "9bd9bbc6": "send",
    "959b8c3f": "authorizeOperator", "e3ee160e": "transferWithAuthorization", "ef55bec6": "receiveWithAuthorization",
    "cf092995": "transferWithAuthorization", "88b7ab63": "receiveWithAuthorization",
}  # fmt: skip
PERMIT2 = {
    "87517c45": "approve", "2b67b570": "permit", "2a2d80d1": "permit", "36c78516": "transferFrom",
    "0d58b1db": "transferFrom", "30f28b7a": "permitTransferFrom", "edd9444b": "permitTransferFrom",
    "137c29fe": "permitWitnessTransferFrom", "fe8ec1a7": "permitWitnessTransferFrom", "cc53287f": "lockdown",
}  # fmt: skip
CALLS = {
    "ac9650d8": "multicall", "5ae401dc": "multicall", "1f0464d1": "multicall", "252dba42": "aggregate",
    "82ad56cb": "aggregate3", "174dea71": "aggregate3Value", "bce38bd7": "tryAggregate",
    "399542e9": "tryBlockAndAggregate", "c3077fa9": "blockAndAggregate", "8d80ff0a": "multiSend",
    "6a761202": "execTransaction", "468721a7": "execTransactionFromModule",
    "5229073f": "execTransactionFromModuleReturnData", "b61d27f6": "execute", "1cff79cd": "execute",
    "e9ae5c53": "execute", "18dfb3c7": "executeBatch", "47e1da2a": "executeBatch", "34fcd5be": "executeBatch",
    "1fad948c": "handleOps", "765e827f": "handleOps",
}  # fmt: skip
FORMS = {
    "6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9": "Permit",  # EIP-2612
    "ea2aa0a1be11a07ed86d755c93467f4f82362b452371d1ba94d1715123511acb": "Permit",  # DAI
    "49ecf333e5b8c95c40fdafc95c1ad136e8914a8fb55e9dc8bb01eaa83a2df9ad": "Permit",  # EIP-4494
    "7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267": "TransferWithAuthorization",
    "d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8": "ReceiveWithAuthorization",
    "f3841cd1ff0085026a6327b620b67997ce40f282c88a8e905a7a5626e310f3d0": "PermitSingle",
    "af1b0d30d2cab0380e68f0689007e3254993c596f2fdd0aaa7f4d04f79440863": "PermitBatch",
    "939c21a48a8dbe3a9a2404a1d46691e4d39f6583d6ec6b35714604c986d80106": "PermitTransferFrom",
    "fcf35f5ac6a2c28868dc44c302166470266239195f02b0ee408334829333b766": "PermitBatchTransferFrom",
    "bb8310d486368db6bd6f849402fdd73ad53d316b5a4b2644ad6efe0f941286d8": "SafeTx",
}


@pytest.mark.parametrize(("selector", "name"), TOKENS.items())
def test_a_tokens_method_is_known_by_its_published_selector(selector: str, name: str) -> None:
    money = MONEY[bytes.fromhex(selector)]
    assert (money.method.name, money.of_token) == (name, True)


@pytest.mark.parametrize(("selector", "name"), PERMIT2.items())
def test_a_method_of_permit2_is_known_by_its_published_selector(selector: str, name: str) -> None:
    money = MONEY[bytes.fromhex(selector)]
    assert (money.method.name, money.of_token) == (name, False)


@pytest.mark.parametrize(("selector", "name"), CALLS.items())
def test_a_wrapper_is_known_by_its_published_selector(selector: str, name: str) -> None:
    assert WRAPPERS[bytes.fromhex(selector)].method.name == name


def test_the_universal_router_is_known_by_its_published_selectors() -> None:
    assert [one.selector.hex() for one in EXECUTE] == ["24856bc3", "3593564c"]


@pytest.mark.parametrize(("type_hash", "primary"), FORMS.items())
def test_a_form_is_known_by_the_type_hash_that_contracts_have_in_their_code(type_hash: str, primary: str) -> None:
    hashes = {keccak256(form.encode()).hex(): form for form in _FORMS}
    assert hashes[type_hash].startswith(f"{primary}(")
