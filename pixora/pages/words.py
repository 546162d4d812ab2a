"""What the pages say."""

from typing import NamedTuple

from pixora.mail.rendering import VERIFY_AGAIN


class Link(NamedTuple):
    """A way on."""

    path: str
    label: str


class Message(NamedTuple):
    """A page, or a part of one, that only tells something, and may lead on."""

    heading: str
    paragraphs: tuple[str, ...]
    link: Link | None = None


class Words(NamedTuple):
    """What one of the pages says.

    Attributes:
        heading, intro, button: Of the form.
        done: When it has worked.
        expired, used: When the link is good no longer.

    """

    heading: str
    intro: str
    button: str
    done: Message
    expired: Message
    used: Message


GET_NEW_LINK = Link(VERIFY_AGAIN, "Get a new link")

VERIFY_EMAIL = Words(
    heading="Confirm your address",
    intro="Please enter the password of your account, so that we know it is you.",
    button="Confirm my address",
    done=Message("Your address is confirmed", ("Thank you. You can close this page now.",)),
    expired=Message(
        "This link has expired",
        ("It was valid for 24 hours, and your address is not confirmed yet.",),
        GET_NEW_LINK,
    ),
    used=Message(
        "This link no longer works",
        (
            "It works once, for 24 hours, and only the one in our newest e-mail does.",
            (
                "If you have confirmed your address already, all is well. If not, look for a newer e-mail from us, or "
                "get a new link."
            ),
        ),
        GET_NEW_LINK,
    ),
)

VERIFY_AGAIN_SENT = Message(
    "Look into your mailbox",
    ("We have sent you an e-mail with a new link. It works once, for 24 hours. Earlier links no longer work.",),
)
VERIFIED_ALREADY = Message("Your address is confirmed already", ("You can sign in, and close this page.",))
WRONG_CREDENTIALS = (
    "The e-mail address or the password is wrong. Try again. If you have forgotten the password, reset it where you "
    "sign in: that confirms your address as well."
)

RESET_PASSWORD = Words(
    heading="Choose a new password",
    intro="All your devices will be signed out, and you can sign in with the new password.",
    button="Save the new password",
    done=Message(
        "Your password has been changed",
        ("All your devices are signed out.", "You can close this page now, and sign in with your new password."),
    ),
    expired=Message(
        "This link has expired",
        ("It was valid for 30 minutes, and your password is still the old one.", "Please ask for a new link."),
    ),
    used=Message(
        "This link no longer works",
        (
            "It works once, and only the one in our newest letter does.",
            (
                "If you have just chosen a new password, all is well: sign in with it. If not, please look for a newer "
                "letter from us, or ask for one."
            ),
        ),
    ),
)

CONFIRM_EMAIL = Words(
    heading="Use a new address",
    intro="You will sign in with this address, and our letters will go there:",
    button="Use this address",
    done=Message(
        "Your new address is in use",
        ("From now on, sign in with it.", "You can close this page now."),
    ),
    expired=Message(
        "This link has expired",
        ("It was valid for 24 hours, and your address is still the old one.", "Please sign in and change it again."),
    ),
    used=Message(
        "This link no longer works",
        (
            "It works once, and only the one in our newest letter does.",
            (
                "If you have confirmed your new address already, all is well: sign in with it. If not, please look for "
                "a newer letter from us, or sign in and change your address again."
            ),
        ),
    ),
)

MALFORMED = Message(
    "This link is not complete",
    (
        "Some mail programs break long links apart.",
        "Please copy the whole link from our letter, from “http” to its end, into the address bar of your browser.",
    ),
)
TAKEN = Message(
    "This address is taken",
    (
        "Meanwhile, somebody has made another account with it. Your own account keeps the address it had.",
        "If that was you, sign in to the other account to delete it. Then open this link again.",
    ),
)
NOT_READ = Message(
    "That did not work",
    ("The form has not arrived here as it should.", "Please open the link in our letter again."),
)
OUR_FAULT = Message(
    "Something went wrong on our side",
    ("Please try again in a few minutes, with the link in our letter.",),
)

WRONG_PASSWORD = "This is not the password of the account. Please try again."  # noqa: S105  # none of anybody's
NO_PASSWORD = "Please enter a password."  # noqa: S105  # as above
OVERLOADED = "A great many people are signing in just now, so nothing was done yet. Please try again in a few seconds."
UNAVAILABLE = "We cannot reach our database just now. Please try again in a few seconds."


def too_many(seconds: int, what: str = "attempts with a wrong password") -> str:
    """Tell somebody to wait."""
    minutes = -(-seconds // 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
    return f"There have been too many {what}. Please try again in {wait}."
