"""Rendering of the e-mails in the outbox, in the language of their reader.

Our templates never contain names or other text that a stranger could have typed: a sign-up with somebody else's address
and the name "You have won, see evil.example" would send spam in our name. Templates of the operator may contain names;
they are empty unless the e-mail goes to the verified address of the account. The notices to an old address contain the
new one, which was given with the password, but only if the old one is verified: else it too may be a stranger's.
"""

from datetime import datetime

from pixora.accounts.documents import Email
from pixora.accounts.outbox import Recipient
from pixora.email_templates import rendering
from pixora.email_templates.rendering import Content, Look
from pixora.email_templates.values import LONGEST_NAME, duration_in_words, harmless, time_in_words
from pixora.mail.identity import public_url, service_name
from pixora.services import services
from pixora.web.colors import text_color

LINK_PATHS = {
    "verify_email": "/verify-email",
    "reset_password": "/reset-password",
    "change_email": "/confirm-email",
    "invitation": "/accept-invitation",
}
"""The page of each template's link. The purpose of the token in it has the name of the template."""

NEW_LINK_PATH = "/verify-email/again"
"""The page that sends a new link to verify an e-mail address."""

UNKNOWN_RECIPIENT = Recipient()


def render(
    email: Email, token: str | None, expires_at: datetime | None, recipient: Recipient = UNKNOWN_RECIPIENT
) -> Content:
    """Render an e-mail of the outbox, with the one-time token for its link."""
    found = services.email_templates.find(email["template"], recipient.languages)
    language, created_at = found.language, email["created_at"]
    link = None if token is None else _link_url(email["template"], token, language)
    values = {
        "service": service_name(),
        "first_name": harmless(recipient.first_name, LONGEST_NAME),
        "last_name": harmless(recipient.last_name, LONGEST_NAME),
        "when": time_in_words(created_at, language),
        "until": time_in_words(expires_at, language) if expires_at else "",
        "lasts": duration_in_words(expires_at - created_at, language) if expires_at else "",
        "new_link_url": f"{public_url()}{NEW_LINK_PATH}",
        "new_email": harmless(email["context"].get("new_email")),
        "changes": email["context"].get("changes", ""),
        "codes_left": harmless(email["context"].get("codes_left")),
        "few_codes_left": harmless(email["context"].get("few_codes_left")),
    }
    return rendering.compose(services.email_templates, found, values, link=link, look=look())


def look() -> Look:
    """Return the look of e-mails, by `BRAND_COLOR` and `BRAND_LOGO`."""
    color = services.settings.brand_color
    if color is None:
        return rendering.DEFAULT_LOOK._replace(logo=services.settings.brand_logo)
    return Look(color, text_color(color), services.settings.brand_logo)


def _link_url(template: str, token: str, language: str) -> str:
    """Return the URL of a link: the page in `LINK_<TEMPLATE>`, or else ours, which gets the language of the e-mail."""
    own_page: str | None = getattr(services.settings, f"link_{template}")
    if own_page is None:
        locale = "" if language == services.settings.default_locale else f"locale={language}&"
        return f"{public_url()}{LINK_PATHS[template]}?{locale}token={token}"
    if "{token}" in own_page:
        return own_page.replace("{token}", token)
    return f"{own_page}{'&' if '?' in own_page else '?'}token={token}"
