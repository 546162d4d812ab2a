"""fastapi-users with Beanie, its JWT strategy and its bearer transport, as its documentation puts them together.

Its password helper is set to bcrypt, at the cost the others have; by default it is Argon2. It hashes in the event
loop, as the library does and leaves no choice about.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from beanie import Document, PydanticObjectId, init_beanie
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users_db_beanie import BeanieBaseUser, BeanieUserDatabase, ObjectIDIDMixin
from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher
from pydantic import BaseModel, Field
from pymongo import AsyncMongoClient

SECRET = os.environ["JWT_SECRET_KEY"]
PASSWORDS = PasswordHelper(PasswordHash((BcryptHasher(rounds=int(os.environ["BCRYPT_ROUNDS"])),)))


def _now() -> datetime:
    return datetime.now(UTC)


class Person(BaseModel):
    """What our users have beyond those of fastapi-users."""

    first_name: str
    last_name: str
    contact: str
    birthday: str


class User(Person, BeanieBaseUser, Document):
    """A document of the collection `users`."""

    created_at: datetime = Field(default_factory=_now)
    updated_at: datetime = Field(default_factory=_now)

    class Settings(BeanieBaseUser.Settings):
        name = "users"


class UserRead(Person, schemas.BaseUser[PydanticObjectId]):
    """A profile: our eight fields, and the three flags of fastapi-users."""

    created_at: datetime
    updated_at: datetime


class UserCreate(Person, schemas.BaseUserCreate):
    """What one signs up with."""


class UserUpdate(schemas.BaseUserUpdate):
    """What one may change: the library's router asks for it."""


class UserManager(ObjectIDIDMixin, BaseUserManager[User, PydanticObjectId]):
    """The library's own, with nothing added."""

    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def _user_database() -> AsyncIterator["BeanieUserDatabase[User]"]:
    yield BeanieUserDatabase(User)


async def _user_manager(
    database: Annotated["BeanieUserDatabase[User]", Depends(_user_database)],
) -> AsyncIterator[UserManager]:
    yield UserManager(database, PASSWORDS)


def _strategy() -> "JWTStrategy[User, PydanticObjectId]":
    return JWTStrategy(secret=SECRET, lifetime_seconds=900)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect each worker to MongoDB; Beanie makes the unique index."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(os.environ["MONGO_URI"], tz_aware=True)
    await init_beanie(database=client.get_default_database(), document_models=[User])
    yield
    await client.close()


backend = AuthenticationBackend("jwt", BearerTransport(tokenUrl="/api/auth/login"), _strategy)
users = FastAPIUsers[User, PydanticObjectId](_user_manager, [backend])

app = FastAPI(lifespan=lifespan)
app.include_router(users.get_auth_router(backend), prefix="/api/auth")
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/api/auth")
app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/api/users")


@app.get("/health")
async def health() -> dict[str, str]:
    """Tell whether the database answers."""
    await User.get_pymongo_collection().database.command("ping")
    return {"status": "healthy"}
