"""Structured logs to standard error, one JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(process: str, name: str, least: int = logging.INFO) -> None:
    """Set up logging for this process, from this level on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(process=process, replica=name)
