"""The workspace names the keys of the log and of its witnesses, each under a name of its own."""

from __future__ import annotations

from oms_core.log.note import LOG, WITNESS, Verifier
from oms_core.log.roster import log_verifier, witness_verifiers
from tests.people import witness, workspace


def test_the_log_is_named_by_its_origin() -> None:
    assert log_verifier(workspace()) == Verifier("example.org/log", witness(0), LOG)


def test_every_cosigner_is_a_witness_under_the_origin_and_its_index() -> None:
    found = witness_verifiers(workspace())
    assert found == {i: Verifier(f"example.org/log/cosigner-{i}", witness(i), WITNESS) for i in range(1, 6)}
    names = {one.key_id for one in found.values()}
    assert len(names) == 5
