"""Logs: one JSON object a line on stdout, in UTC, with the id of the request.

The stream is meant for a collector. Nothing that logs here is given a password, a token, a hash or the
database URI; and whatever a client sent is escaped by JSON, so that it cannot forge a line.
"""

import logging
import logging.config
import sys
from typing import Any

from flask import has_request_context
from pythonjsonlogger.json import JsonFormatter

from pixora.requests import request_id


class Formatter(JsonFormatter):
    """`time`, `level`, `logger`, `message`, `request_id`, what `extra` gave, and `exc_info` where there is one."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the id of the request, where there is one."""
        super().add_fields(log_data, record, message_dict)
        if has_request_context():
            log_data["request_id"] = request_id()


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": Formatter}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
}


def init() -> None:
    """Send the logs of this process, gunicorn's among them, to stdout as JSON."""
    logging.config.dictConfig(CONFIG)


def to_stderr() -> None:
    """Send them to stderr: for a command whose output is read by a program."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
