"""The commands: ``flask --app wsgi keys …``, and what all groups of commands have in common.

Exit statuses are those of BSD's sysexits.h: 0, all is done; 1, something was refused, or needs a person; 2, the command
line is at fault; 75 (EX_TEMPFAIL), the database or a server is away, try again; 78 (EX_CONFIG), the configuration is at
fault.
"""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask.cli import AppGroup

from pixora import clock
from pixora.accounts.audit import COMMAND
from pixora.errors import DatabaseUnavailable
from pixora.observability import logs
from pixora.services import services
from pixora.tokens.keys import PrivateKey, read_key


class Group(AppGroup):
    """A group of commands that end with status 75, and a sentence, when the database is away."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DatabaseUnavailable as error:
            advice = "See MONGO_URI." if error.reason == "unauthorized" else "Try again later."
            click.echo(f"The database is not available ({error.reason}). {advice}", err=True)
            sys.exit(os.EX_TEMPFAIL)


keys = Group("keys", help="The keys in JWT_KEY_DIR, which sign and verify access tokens.")

ALGORITHMS = ("ES256", "EdDSA", "RS256")


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS, case_sensitive=False),
    default="ES256",
    show_default=True,
    help="ES256 is understood everywhere; EdDSA is the fastest; RS256 is for old verifiers.",
)
def generate(algorithm: str) -> None:
    """Make a new key, which signs from now on.

    The running workers find it within seconds. Tokens of the older keys stay good, so nobody is signed out; retire an
    older key once its last token has expired.

    The exit status is 0 when the key is there, and 1 when there is no JWT_KEY_DIR.
    """
    kid = make_key(_directory(), algorithm)
    logs.to_stderr()
    services.audit.record("key_generated", None, by=COMMAND, kid=kid, algorithm=algorithm)
    click.echo(f"{kid} signs from now on.")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_keys(as_json: bool) -> None:  # noqa: FBT001  # click's flag
    """List the keys by name, with their algorithms, the one that signs marked.

    The last private key by name signs, every key verifies.

    The exit status is 0, or 1 when there is no JWT_KEY_DIR.
    """
    directory = _directory()
    found = [read_key(path) for path in sorted(directory.glob("*.pem"))]
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
    """Delete the key KID: the tokens it has signed are refused within seconds.

    Clients get new ones with their refresh tokens, which do not depend on any key here.

    The exit status is 0 when the key is gone, and 1, with nothing changed, when there is none of this name or it is the
    only one that can sign.
    """
    directory = _directory()
    paths = {path.stem: path for path in directory.glob("*.pem")}
    if kid not in paths:
        raise click.ClickException(f"There is no key {kid}. See: flask --app wsgi keys list")
    if not any(read_key(path).private for name, path in paths.items() if name != kid):
        raise click.ClickException(f"{kid} is the only key that can sign. Make another first: keys generate")
    paths[kid].unlink()
    logs.to_stderr()
    services.audit.record("key_retired", None, by=COMMAND, kid=kid)
    click.echo(f"{kid} is retired.")


def make_key(directory: Path, algorithm: str) -> str:
    """Write a new private key to a directory, as the one that signs from now on; return its name."""
    kid = f"{clock.utcnow():%Y%m%dT%H%M%SZ}-{algorithm.lower()}-{secrets.token_hex(2)}"
    pem = _new_private_key(algorithm).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Under its own name only when it is whole, and never readable by others: workers look at any time.
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
