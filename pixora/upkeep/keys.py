"""The ``flask --app wsgi keys`` commands: rotate the keys in JWT_KEY_DIR."""

import json
import os
import secrets
from pathlib import Path

import click
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pixora import clock
from pixora.accounts.audit import COMMAND
from pixora.cli import Group
from pixora.observability import logs
from pixora.services import services
from pixora.tokens.keys import PrivateKey, read_key

ALGORITHMS = ("ES256", "EdDSA", "RS256")

keys = Group("keys", help="Manage the keys in JWT_KEY_DIR, which sign and verify access tokens.")


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS, case_sensitive=False),
    default="ES256",
    show_default=True,
    help="ES256 is supported everywhere, EdDSA is the fastest, RS256 is for old verifiers.",
)
def generate(algorithm: str) -> None:
    """Generate a key, which signs all new tokens.

    Running workers find it within seconds. Tokens signed by older keys stay valid, so nobody is signed out. Retire an
    older key once its last token has expired.

    The exit status is 0 when the key is stored, and 1 when JWT_KEY_DIR is not set.
    """
    kid = make_key(_directory(), algorithm)
    logs.to_stderr()
    services.audit.record("key_generated", None, by=COMMAND, kid=kid, algorithm=algorithm)
    click.echo(f"{kid} signs from now on.")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_keys(as_json: bool) -> None:
    """List the keys by name, with their algorithms and uses.

    Every key verifies; the last private key by name also signs.

    The exit status is 0, or 1 when JWT_KEY_DIR is not set.
    """
    found = [read_key(path) for path in sorted(_directory().glob("*.pem"))]
    signing = next((key for key in reversed(found) if key.private is not None), None)
    uses = [
        {"kid": key.kid, "algorithm": key.algorithm, "use": "sign" if key is signing else "verify"} for key in found
    ]
    if as_json:
        click.echo(json.dumps(uses))
    else:
        for use in uses:
            click.echo("  ".join(use.values()))


@keys.command()
@click.argument("kid")
def retire(kid: str) -> None:
    """Delete the key KID: within seconds, tokens signed by it are rejected.

    Clients get new access tokens with their refresh tokens, which do not depend on these keys.

    The exit status is 0 when the key is deleted. It is 1, and nothing changes, when no key has this name or it is the
    only one that can sign.
    """
    paths = {path.stem: path for path in _directory().glob("*.pem")}
    if kid not in paths:
        raise click.ClickException(f"There is no key {kid}. See: flask --app wsgi keys list")
    if not any(read_key(path).private for name, path in paths.items() if name != kid):
        raise click.ClickException(f"{kid} is the only key that can sign. Generate another first: keys generate")
    paths[kid].unlink()
    logs.to_stderr()
    services.audit.record("key_retired", None, by=COMMAND, kid=kid)
    click.echo(f"Retired {kid}.")


def make_key(directory: Path, algorithm: str) -> str:
    """Write a new private key to a directory and return its name, which sorts after those of older keys."""
    kid = f"{clock.utcnow():%Y%m%dT%H%M%SZ}-{algorithm.lower()}-{secrets.token_hex(2)}"
    pem = _new_private_key(algorithm).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Workers may look at any time, so the file gets its name when it is complete. Only its owner can ever read it.
    unfinished = directory / f".{kid}"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(directory / f"{kid}.pem")
    return kid


def _directory() -> Path:
    directory = services.settings.jwt_key_dir
    if not directory:
        raise click.ClickException("JWT_KEY_DIR is not set: access tokens are signed with JWT_SECRET_KEY.")
    return Path(directory)


def _new_private_key(algorithm: str) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)
