"""The coordinator's tables, on SQLite or PostgreSQL. Amounts are text, times are Unix seconds."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("method", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("object_id", String(64), nullable=False),
)

wallets = Table(
    "wallets",
    metadata,
    Column("wallet_id", String(64), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("proposal", LargeBinary, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("threshold", Integer, nullable=False),
    Column("confirmations", LargeBinary, nullable=False, default=b""),
    Column("drill", LargeBinary, nullable=False, default=b""),
    Column("created_at", Float, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("change_id", String(64), primary_key=True),
    Column("wallet_id", String(64), nullable=False, index=True),
    Column("state", String(32), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("proposal", LargeBinary, nullable=False),
    Column("subject", LargeBinary, nullable=False, unique=True),
    Column("request", LargeBinary, nullable=False, default=b""),
    Column("certificate", LargeBinary, nullable=False, default=b""),
    Column("created_at", Float, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("change_id", String(64), primary_key=True),
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("receipt", LargeBinary, nullable=False),
)

owed = Table(
    "owed",
    metadata,
    Column("change_id", String(64), primary_key=True),
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("message", LargeBinary, nullable=False),
)

presignatures = Table(
    "presignatures",
    metadata,
    Column("presignature_id", LargeBinary, primary_key=True),
    Column("wallet_id", String(64), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("path", String(256), nullable=False),
    Column("quorum", String(256), nullable=False),
    Column("at", Float, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("evidence_id", String(64), primary_key=True),
    Column("about", String(64), nullable=False, index=True),
    Column("culprit", Integer, nullable=False),
    Column("step", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("evidence_id", String(64), nullable=False),
    Column("at", Float, nullable=False),
)

workspace_changes = Table(
    "workspace_changes",
    metadata,
    Column("change_id", String(64), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("proposal", LargeBinary, nullable=False),
    Column("subject", LargeBinary, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

workspace_versions = Table(
    "workspace_versions",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
)

statements = Table(
    "statements",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

anchors = Table(
    "anchors",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("size", BigInteger, nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("proposal", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False, default=b""),
    Column("ots", LargeBinary, nullable=False, default=b""),
    Column("block_number", BigInteger, nullable=False, default=0),
    Column("block_time", BigInteger, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("wallet_id", String(64), nullable=False, index=True),
    Column("state", String(32), nullable=False, index=True),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("proposal", LargeBinary, nullable=False),
    Column("subject", LargeBinary, nullable=False, unique=True),
    Column("trace", Text, nullable=False, default="[]"),
    Column("replaces", String(64), nullable=False, default=""),
    Column("execution", LargeBinary, nullable=True),
    Column("authorized_at", BigInteger, nullable=False, default=0),  # its newest such entry in the log; 0: none
    Column("raw", LargeBinary, nullable=True),
    Column("hash", String(66), nullable=False, default=""),
    Column("signers", String(256), nullable=False, default="[]"),
    Column("block_number", BigInteger, nullable=False, default=0),
    Column("confirmations", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
)

spends = Table(
    "spends",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("operation", Integer, nullable=False),
    Column("action", String(32), nullable=False),
    Column("wallet_id", String(64), nullable=False),
    Column("initiator", String(64), nullable=False),
    Column("chain", String(64), nullable=False),
    Column("destination", LargeBinary, nullable=False),
    Column("protocol", String(64), nullable=False),
    Column("asset", String(128), nullable=False),
    Column("amount", String(80), nullable=False),
    Column("usd_micro", String(80), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

stages = Table(
    "stages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("subject_id", String(64), nullable=False, index=True),
    Column("state", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("note", Text, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("person_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("approval", LargeBinary, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("void", String(64), nullable=False, default=""),
)

counters = Table(
    "counters",
    metadata,
    Column("credential", String(256), primary_key=True),
    Column("counter", BigInteger, nullable=False),
)

nonces = Table(
    "nonces",
    metadata,
    Column("chain", String(64), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("nonce", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", String(64), nullable=False),
    UniqueConstraint("order_id"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(64), primary_key=True),
    Column("refusal", LargeBinary, nullable=False),
)

readings = Table(
    "readings",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("cosigner", Integer, primary_key=True, autoincrement=False),
    Column("reading", LargeBinary, nullable=False),
    Column("lines", Text, nullable=False),
)

# A rowid on SQLite: BIGINT would be a second tree there.
_COUNT = BigInteger().with_variant(Integer, "sqlite")

log_items = Table(
    "log_items",
    metadata,
    Column("index", _COUNT, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("subject", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("log_items_by_subject", "subject", "index"),
)

log_tiles = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", _COUNT, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("count", Integer, nullable=False, index=True),
)


log_conflicts = Table(
    "log_conflicts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("cosigner", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("lifted", Integer, nullable=False),
)
