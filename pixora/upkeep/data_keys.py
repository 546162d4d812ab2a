"""The ``flask --app wsgi keys data`` commands, and the doctor's check of the same: the keys of second factors."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import User
from pixora.accounts.factors import FactorStore
from pixora.cli import Group
from pixora.factors import encryption
from pixora.observability import logs
from pixora.services import Services, services
from pixora.upkeep.findings import Finding, fault, ok, warning

COUNT_SECONDS = 60.0

data = Group("data", help="Manage DATA_KEYS, which encrypt the secrets of second factors.")


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_keys(as_json: bool) -> None:
    """List the keys by name, with how many secrets each encrypts.

    The first of DATA_KEYS encrypts, all decrypt. A key that is missing encrypts secrets but is not in DATA_KEYS: these
    users cannot log in with their authenticator app. The name of a key is made from the key and reveals nothing.

    The exit status is 0; 1 when a key is missing; and 75 when the database is not available.
    """
    logs.to_stderr()
    names = [encryption.name_of(key) for key in services.settings.data_keys]
    counts = services.factors.count_by_key(COUNT_SECONDS)
    uses = dict.fromkeys(names, "decrypt") | {name: "missing" for name in counts if name not in names}
    if names:
        uses[names[0]] = "encrypt"
    found = [{"key": name, "use": use, "secrets": counts.get(name, 0)} for name, use in uses.items()]
    if as_json:
        click.echo(json.dumps(found))
    else:
        for one in found:
            click.echo("  ".join(map(str, one.values())))
    sys.exit(1 if "missing" in uses.values() else 0)


@data.command()
def rotate() -> None:
    """Encrypt all secrets under the first of DATA_KEYS.

    To rotate: add a new key at the end of DATA_KEYS and restart the service on all machines; put it first and restart
    again; run this. Ten minutes later, remove the old key. The service can run meanwhile, and nobody notices. The
    command can be interrupted or killed at any time; run it again to complete the rest.

    The exit status is 0 on success; 1 when DATA_KEYS is not set, or some secrets cannot be decrypted, which stay as
    they are; and 75 when the database is not available.
    """
    logs.to_stderr()
    if not services.settings.data_keys:
        raise click.ClickException("DATA_KEYS is not set.")
    name = encryption.name_of(services.settings.data_keys[0])
    counts = rotate_all(services.factors, services.settings.data_keys)
    if counts["rotated"]:
        services.audit.record("data_keys_rotated", None, by=COMMAND, key=name, number=counts["rotated"])
    click.echo(f"Encrypted {counts['rotated']:,} secrets under the key {name}.")
    if number := counts["unreadable"]:
        advice = (
            "Add their key to DATA_KEYS (see: keys data list), or reset these users: users reset-factors, which "
            "removes their passkeys as well."
        )
        raise click.ClickException(f"{number:,} secrets cannot be decrypted. {advice}")


def rotate_all(store: FactorStore, data_keys: Sequence[str]) -> Counter[str]:
    """Encrypt all secrets under the first key; return how many were `rotated` and how many are `unreadable`."""
    counts: Counter[str] = Counter()
    for batch in store.batches(other_than=encryption.name_of(data_keys[0])):
        replacements = []
        for user in batch:
            try:
                secret = _decrypt(data_keys, user)
            except encryption.UnreadableSecret:
                counts["unreadable"] += 1
            else:
                replacements.append((user, *encryption.encrypt(data_keys, user["_id"], secret)))
        if replacements:
            counts["rotated"] += store.replace_secrets(replacements)
    return counts


def second_factors(services: Services) -> Iterator[Finding]:
    """Check that each secret of a second factor can be decrypted, and under which key it is."""
    data_keys = services.settings.data_keys
    counts: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    for batch in services.factors.batches():
        for user in batch:
            name = user["factors"]["totp"]["key"]
            counts[name] += 1
            try:
                _decrypt(data_keys, user)
            except encryption.UnreadableSecret:
                unreadable[name] += 1
    if unreadable:
        yield fault(
            f"{unreadable.total():,} of {counts.total():,} secrets of second factors cannot be decrypted "
            f"({_by_key(unreadable)}): their owners can log in with a recovery code only.",
            "Add the missing key to DATA_KEYS. If it is lost: flask --app wsgi users reset-factors USER, which removes "
            "passkeys as well.",
        )
    elif not data_keys:
        yield ok("DATA_KEYS is not set: nobody can set up a second factor.")
    old = Counter({name: number for name, number in counts.items() if name != _first(data_keys)}) - unreadable
    if old:
        yield warning(
            f"{old.total():,} secrets of second factors are not under the first of DATA_KEYS ({_by_key(old)}).",
            "flask --app wsgi keys data rotate",
        )
    elif data_keys and not unreadable:
        yield ok(f"All {counts.total():,} secrets of second factors are under the first of DATA_KEYS.")


def _decrypt(data_keys: Sequence[str], user: User) -> bytes:
    return encryption.decrypt(data_keys, user["_id"], user["factors"]["totp"]["secret"])


def _first(data_keys: Sequence[str]) -> str | None:
    return encryption.name_of(data_keys[0]) if data_keys else None


def _by_key(counts: Counter[str]) -> str:
    return ", ".join(f"key {name}: {number:,}" for name, number in sorted(counts.items()))
