"""What an application is made of: one object, which `create_app` builds in the order of its dependencies."""

from dataclasses import dataclass
from typing import Any, cast

from flask import current_app

from config import Settings
from pixora.accounts.administrators import Administrators
from pixora.accounts.audit import Audit
from pixora.accounts.directory import Directory
from pixora.accounts.erasure import Erasure
from pixora.accounts.factors import FactorStore
from pixora.accounts.hash_census import RefusalCost
from pixora.accounts.metrics import AccountMetrics
from pixora.accounts.one_time_tokens import OneTimeTokenStore
from pixora.accounts.outbox import Outbox
from pixora.accounts.passkeys import PasskeyStore
from pixora.accounts.sessions import SessionStore
from pixora.accounts.users import UserStore
from pixora.database.client import Database
from pixora.email_templates.catalogue import Catalogue
from pixora.passwords.queue import HashingQueue
from pixora.throttling.limits import Throttles
from pixora.throttling.mail import MailThrottles
from pixora.throttling.outages import Outages
from pixora.throttling.second_factor import SecondFactorThrottles
from pixora.tokens.access import Tokens
from pixora.web.application import current


@dataclass(frozen=True, kw_only=True)
class Services:
    """All services of one application."""

    settings: Settings
    tokens: Tokens
    hashing_queue: HashingQueue
    database: Database
    throttles: Throttles
    mail_throttles: MailThrottles
    second_factor_throttles: SecondFactorThrottles
    outages: Outages
    audit: Audit
    users: UserStore
    sessions: SessionStore
    passkeys: PasskeyStore
    factors: FactorStore
    one_time_tokens: OneTimeTokenStore
    outbox: Outbox
    metrics: AccountMetrics
    erasure: Erasure
    administrators: Administrators
    directory: Directory
    email_templates: Catalogue
    refusal_cost: RefusalCost


class CurrentServices:
    """The services of the current application."""

    def __getattribute__(self, name: str) -> Any:
        """Return a service. After `__getattr__`, Python would first look for it here, and make an error of that."""
        return getattr(current(current_app).extensions["services"], name)


services = cast(Services, CurrentServices())
"""The services of the current application."""
