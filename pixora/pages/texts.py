"""The texts of the pages, in English. `pixora.pages.german` has them in German."""

from typing import NamedTuple

from pixora.mail.rendering import NEW_LINK_PATH

FORGOT_PASSWORD_PATH = "/forgot-password"  # noqa: S105  # a path


class Link(NamedTuple):
    """Where a page leads next."""

    path: str
    label: str


class Message(NamedTuple):
    """A page without a form."""

    heading: str
    paragraphs: tuple[str, ...] = ()  # more about it
    link: Link | None = None  # a page of ours that leads on
    closing: str = ""  # the last paragraph where there is no `RETURN_URL`


MALFORMED = Message(
    "This link is incomplete",
    (
        "Some e-mail programs break long links.",
        "Copy the whole link from our e-mail, from “http” to the end, into the address bar of your browser.",
    ),
)


class FormTexts(NamedTuple):
    """The texts of a form, and the messages for a link that has expired or was used."""

    heading: str
    intro: str
    button: str
    expired: Message = MALFORMED
    used: Message = MALFORMED


GET_NEW_LINK = Link(NEW_LINK_PATH, "Get a new link")
GET_RESET_LINK = Link(FORGOT_PASSWORD_PATH, "Get a new link")
EXPIRED = "This link has expired"
USED = "This link no longer works"
ONLY_THE_NEWEST = "Each link works once, and only the newest one works."

VERIFY_EMAIL = FormTexts(
    heading="Verify your e-mail address",
    intro="Enter your password to show that this account is yours.",
    button="Verify e-mail address",
    expired=Message(EXPIRED, ("It was valid for 24 hours. Your e-mail address is not verified yet.",), GET_NEW_LINK),
    used=Message(
        USED,
        (
            ONLY_THE_NEWEST,
            (
                "If you have already verified your e-mail address, you are done. If not, open the link in our latest "
                "e-mail, or get a new one."
            ),
        ),
        GET_NEW_LINK,
    ),
)
EMAIL_VERIFIED = Message("Your e-mail address is verified", closing="You can close this page.")

NEW_LINK = FormTexts(
    heading="Get a new link",
    intro="Enter your e-mail address and password. We will send you a new link to verify your e-mail address.",
    button="Send new link",
)
NEW_LINK_SENT = Message(
    "Check your e-mail",
    ("We sent you a new link. It works once and expires after 24 hours. Earlier links no longer work.",),
    Link(NEW_LINK_PATH, "Send the link again"),
)
ALREADY_VERIFIED = Message("Your e-mail address is already verified", closing="You can close this page and sign in.")

FORGOT_PASSWORD = FormTexts(
    heading="Forgot your password",
    intro="Enter your e-mail address. We will send you a link to choose a new password.",
    button="Send link",
)
RESET_LINK_SENT = Message(
    "Check your e-mail",
    (
        (
            "If there is an account with this e-mail address, we sent a link to it. It works once and expires after 30 "
            "minutes."
        ),
        "No e-mail after a few minutes? Look in the spam folder, and check the address.",
    ),
    Link(FORGOT_PASSWORD_PATH, "Send the link again"),
)

RESET_PASSWORD = FormTexts(
    heading="Choose a new password",
    intro="You will be signed out on all devices.",
    button="Save new password",
    expired=Message(
        EXPIRED,
        ("It was valid for 30 minutes. Your password has not changed.",),
        GET_RESET_LINK,
    ),
    used=Message(
        USED,
        (
            ONLY_THE_NEWEST,
            (
                "If you have just chosen a new password, sign in with it. If not, open the link in our latest e-mail, "
                "or get a new one."
            ),
        ),
        GET_RESET_LINK,
    ),
)
PASSWORD_CHANGED = Message(
    "Your password has been changed",
    ("You are signed out on all devices.",),
    closing="You can close this page and sign in with your new password.",
)

ACCEPT_INVITATION = FormTexts(
    heading="Choose a password",
    intro="An account has been made for you. Choose a password to sign in with.",
    button="Save password",
    expired=Message(
        EXPIRED,
        ("It was valid for 7 days. Ask the people who invited you for a new one, or get a link to choose a password.",),
        GET_RESET_LINK,
    ),
    used=Message(
        USED,
        (
            ONLY_THE_NEWEST,
            (
                "If you have just chosen a password, sign in with it. If not, open the link in our latest e-mail, or "
                "get a new one."
            ),
        ),
        GET_RESET_LINK,
    ),
)
INVITATION_ACCEPTED = Message(
    "Welcome",
    ("Your password is saved, and your e-mail address is verified.",),
    closing="You can close this page and sign in.",
)

CONFIRM_EMAIL = FormTexts(
    heading="Confirm your new e-mail address",
    intro="You will sign in with this address, and we will send our e-mails to it:",
    button="Use this address",
    expired=Message(
        EXPIRED,
        (
            "It was valid for 24 hours. Your e-mail address has not changed.",
            "To change it, sign in and enter the new address again.",
        ),
    ),
    used=Message(
        USED,
        (
            ONLY_THE_NEWEST,
            (
                "If you have already confirmed your new address, sign in with it. If not, open the link in our latest "
                "e-mail, or sign in and enter the new address again."
            ),
        ),
    ),
)
EMAIL_CHANGED = Message(
    "Your e-mail address has been changed",
    ("From now on, sign in with your new address.",),
    closing="You can close this page.",
)
EMAIL_TAKEN = Message(
    "This e-mail address is taken",
    (
        "Another account has been created with it. Your own account keeps its current address.",
        "If the other account is yours too, sign in to it and delete it. Then open this link again.",
    ),
)

UNREADABLE_FORM = Message(
    "That did not work", ("We could not read the form.", "Open the link in our e-mail and try again.")
)
SERVER_ERROR = Message("Something went wrong on our side", ("Open the link in our e-mail again in a few minutes.",))

NO_PASSWORD = "Enter a password."  # noqa: S105  # a message
NO_EMAIL = "Enter your e-mail address."
WRONG_PASSWORD = "This is not the password of the account. Try again."  # noqa: S105  # a message
WRONG_CREDENTIALS = (
    "The e-mail address or the password is wrong. Try again. If you have forgotten your password, reset it. That also "
    "verifies your e-mail address."
)
OVERLOADED = "Too many people are signing in right now. Nothing has changed. Try again in a few seconds."
UNAVAILABLE = "We cannot reach our database right now. Try again in a few seconds."


def rate_limited(seconds: int) -> str:
    """Return the message for too many attempts, with the time to wait."""
    minutes = -(-seconds // 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
    return f"There have been too many attempts. Try again in {wait}."
