"""E-mail addresses: which are accepted, and the one canonical form in which they are stored and compared."""

import unicodedata

import email_validator

LONGEST = 320
"""Characters before normalisation: 64, `@` and 255 (RFC 5321, section 4.5.3.1). Longer text is never normalised:
8,000 combining marks take a third of a second."""

LONGEST_CANONICAL = 254
"""Characters of a canonical address (RFC 5321, section 4.5.3.1.3: a path of 256 with its brackets)."""

LOCAL_DOMAINS = (".test", ".local")
"""Domains without e-mail on the Internet (RFC 6761, RFC 6762), accepted outside production."""


def validate(typed: str, *, allow_local_domains: bool) -> str:
    """Return the canonical form of an address by RFC 5321 and 6531; check its length with `LONGEST` first.

    Raises:
        ValueError: the text is not an address; the message says why.

    """
    typed = typed.strip()
    local_domain = typed[typed.rfind(".") :].lower()
    if local_domain not in LOCAL_DOMAINS or not allow_local_domains:
        local_domain = ""
    # email-validator rejects local domains: check the rest of such an address with another ending.
    checked = typed[: -len(local_domain)] + ".com" if local_domain else typed
    email = email_validator.validate_email(checked, check_deliverability=False).normalized
    if local_domain:
        email = email.removesuffix(".com") + local_domain
    email = fold_case(email)  # which can make it longer
    if len(email) > LONGEST_CANONICAL:
        raise ValueError(f"Must have at most {LONGEST_CANONICAL} characters.")
    if email.rindex("@") > 64:
        raise ValueError("Must have at most 64 characters before the @-sign.")
    return email


def fold_case(email: str) -> str:
    """Return an address in NFC and without differences of case, so that case never makes a second account.

    The part before the `@` is case-folded (Unicode, section 3.13, D145): ß becomes ss, and a final sigma a plain one.
    The domain becomes lower case, as in email-validator: IDNA 2008 distinguishes ß from ss.
    """
    name, at, domain = email.rpartition("@")
    if not at:
        name, domain = domain, ""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    return folded + at + _lower_case(domain)


def spellings(typed: str) -> list[str]:
    """Return the forms in which the account of a typed address may be stored: as typed first, canonical last.

    The FastAPI service stored the address as typed, with the domain in lower case; early versions of Pixora stored it
    in lower case. Text that is too long for an address has one form, which no account has.
    """
    typed = typed.strip()
    if len(typed) > LONGEST:
        return [typed]
    try:
        normalized = email_validator.validate_email(typed, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        normalized = typed
    forms = list(dict.fromkeys((typed, normalized, _lower_case(normalized))))
    folded = fold_case(normalized)
    # Also where it is the typed one: case folding turns small Cherokee letters into capitals.
    return forms if forms[-1] == folded else [*forms, folded]


def canonical(stored: str) -> str:
    """Return the canonical form of a stored address, whether or not it would be accepted today."""
    if stored.isascii() and len(stored) <= LONGEST and "xn--" not in (lower := stored.strip().lower()):
        return lower  # the same result, without the cost of validation
    return spellings(stored)[-1]


def _lower_case(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
