"""How the service names itself in e-mails and on pages: sender address, name and URL."""

from email.headerregistry import Address, AddressHeader, HeaderRegistry
from typing import cast
from urllib.parse import urlsplit

import email_validator

from pixora.services import services

DEVELOPMENT_SENDER = "Pixora <pixora@pixora.example>"
DEVELOPMENT_URL = "http://127.0.0.1:8000"
"""Where `script/server` answers. In production, `SMTP_URL` needs `MAIL_FROM` and `PUBLIC_URL`."""


def sender_address() -> Address:
    """Return the address that e-mails come from, by `MAIL_FROM`."""
    header = HeaderRegistry()("From", services.settings.mail_from or DEVELOPMENT_SENDER)
    [address] = cast(AddressHeader, header).addresses
    return ascii_address(address.addr_spec, address.display_name)


def service_name() -> str:
    """Return the display name in `MAIL_FROM`, or else the host of `PUBLIC_URL`."""
    return sender_address().display_name or urlsplit(public_url()).hostname or "Pixora"


def public_url() -> str:
    """Return the URL that links start with."""
    return services.settings.public_url or DEVELOPMENT_URL


def ascii_address(email: str, display_name: str = "") -> Address:
    """Return an address in ASCII, with the domain in its IDNA form.

    An address with other characters before the `@` has no ASCII form and is returned as it is: the server must then
    support SMTPUTF8 (RFC 6531).

    Raises:
        ValueError: It is not an address. Documents of the FastAPI era may hold anything.

    """
    parts = email_validator.validate_email(email, check_deliverability=False, globally_deliverable=False)
    # Not `addr_spec=`, which accepts only ASCII.
    return Address(display_name, parts.ascii_local_part or parts.local_part, parts.ascii_domain)
