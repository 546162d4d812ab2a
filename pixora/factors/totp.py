"""Time-based one-time passwords (TOTP, RFC 6238), with the parameters that every authenticator app supports.

SHA-1, six digits and steps of 30 seconds. A code is accepted from one step before its time to one step after it, for
clocks that differ and people who type slowly (RFC 6238, section 5.2).
"""

import base64
import secrets
from datetime import UTC, datetime

import pyotp
from pyotp.exceptions import OTPVerificationError

SECRET_BYTES = 20
"""RFC 4226, section 4, requirement 6: 160 bits."""

DIGITS = 6
STEP_SECONDS = 30
WINDOW = 1
"""How many steps a code may be early or late."""


def new_secret() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def base32(secret: bytes) -> str:
    """Return a secret as authenticator apps show it: in base32, without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Return the step of a code that is right now, counted from 1970; None for a wrong code."""
    try:
        step: int = pyotp.TOTP(base32(secret)).verify_and_get_timecode(code, for_time=now, valid_window=WINDOW)
    except OTPVerificationError:
        return None
    return step


def time_of(step: int) -> datetime:
    """Return when a step began."""
    return datetime.fromtimestamp(step * STEP_SECONDS, UTC)


def enrolment_uri(secret: bytes, account: str, issuer: str) -> str:
    """Return the `otpauth://` URI for authenticator apps.

    https://github.com/google/google-authenticator/wiki/Key-Uri-Format

    """
    return str(pyotp.TOTP(base32(secret)).provisioning_uri(name=account, issuer_name=issuer))
