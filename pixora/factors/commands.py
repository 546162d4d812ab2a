"""The command ``flask --app wsgi users reset-factors``."""

import click
from flask.cli import with_appcontext

from pixora.admin.changes import OPERATOR
from pixora.admin.command_group import id_of, json_option, report
from pixora.factors import administration


@click.command("reset-factors")
@with_appcontext
@click.argument("user")
@json_option
def reset_factors_command(user: str, as_json: bool) -> None:
    """Remove the second factors and passkeys of USER, an id or an e-mail address, after their loss.

    All sessions of the user end. The user gets an e-mail, and can log in with the password alone. A user without one
    chooses one by the link of "Forgot your password?".

    The exit status is 0 when there are no second factors and passkeys, even if there were none before; 1 when there is
    no such user; and 75 when the database is not available.
    """
    user_id = id_of(user)
    changed = administration.reset_factors(user_id, by=OPERATOR)
    report(user, user_id, "without a second factor", changed=changed, as_json=as_json)
