"""E-mail addresses as SMTP and message headers have them."""

from email.headerregistry import Address, AddressHeader, HeaderRegistry
from typing import cast

import email_validator

from pixora.services import services

DEVELOPMENT_SENDER = "Pixora <pixora@pixora.example>"
"""Production has `MAIL_FROM`, before it sends anything."""


def sender() -> Address:
    """Return who letters are from, by `MAIL_FROM`."""
    header = HeaderRegistry()("From", services.settings.mail_from or DEVELOPMENT_SENDER)
    [address] = cast(AddressHeader, header).addresses
    return transportable(address.addr_spec, address.display_name)


def transportable(address: str, display_name: str = "") -> Address:
    """Return an address in ASCII, the domain in its IDNA form, where that is possible.

    Only an address with another letter before the `@` has no such form: the server must then know SMTPUTF8 (RFC 6531).

    Raises:
        ValueError: It is no address; FastAPI-era documents may hold anything.

    """
    parts = email_validator.validate_email(address, check_deliverability=False, globally_deliverable=False)
    # Not by addr_spec, which takes no other letters.
    return Address(display_name, parts.ascii_local_part or parts.local_part, parts.ascii_domain)
