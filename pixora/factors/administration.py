"""Remove all second factors and passkeys of a user who has lost them: by an administrator, or by a command."""

from pixora.accounts import factors, passkeys, updates
from pixora.admin import service
from pixora.admin.changes import Actor, change
from pixora.factors.errors import OwnFactors
from pixora.services import services


def reset_factors(user_id: str, by: Actor) -> bool:
    """Remove all second factors and passkeys of a user, end sessions and a pending change of e-mail, and send a notice.

    Return False, changing nothing, if there was none. The sessions end because a thief of the phone may have opened
    them. A user without a password can still choose one, by a link to the e-mail address.

    Raises:
        UserNotFound: There is no such user.
        OwnFactors: Administrators must not do this to themselves: it would spare them the code.

    """
    if by.id == user_id:
        raise OwnFactors
    user = service.find(user_id)
    stages = [
        factors.REMOVE,
        passkeys.REMOVE,
        *updates.end_sessions(),
        updates.queue_emails(*services.outbox.compose_notices("factor_reset", user)),
    ]
    condition = {"$or": [factors.WITH_FACTOR, passkeys.WITH_PASSKEY]}
    return change("second_factor_reset", user_id, by, stages, condition) is not None
