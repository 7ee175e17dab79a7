"""The file of the log's key: read by its owner alone, and nothing but an Ed25519 key."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from coordinator.config import Log
from coordinator.log_key import log_keys, read_log_key
from oms_core.errors import LocalError, Reason

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def written(tmp_path: Path, data: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "log.pem"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def refused(path: Path) -> str:
    with pytest.raises(LocalError) as caught:
        read_log_key(path)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "PRIVATE" not in str(caught.value)
    return caught.value.message


def test_the_logs_key_is_read_and_a_second_one_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, PEM)
    assert read_log_key(path).private_bytes_raw() == KEY.private_bytes_raw()
    assert len(log_keys(Log(path))) == 1
    assert [key.private_bytes_raw() for key in log_keys(Log(path, path))] == 2 * [KEY.private_bytes_raw()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    assert "chmod 600" in refused(written(tmp_path, PEM, mode))


def test_what_is_no_such_key_is_refused_in_words(tmp_path: Path) -> None:
    p256 = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    assert "no Ed25519" in refused(written(tmp_path, p256))
    assert "no unencrypted" in refused(written(tmp_path, locked))
    assert "no unencrypted" in refused(written(tmp_path, b"nothing"))
    assert "cannot be read" in refused(tmp_path / "missing.pem")
