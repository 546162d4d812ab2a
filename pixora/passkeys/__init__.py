"""Passkeys: log in without a password (WebAuthn, level 3). Without `WEBAUTHN_ORIGINS` there are no routes."""
