"""The stack of Pixora's predecessor: FastAPI, Motor, PyJWT and bcrypt, as a competent user of them writes it.

Bcrypt runs in the thread pool, so that it does not stop the event loop; the token is verified and the user is read at
every request, since who is gone must be stopped; the response model says what leaves the house.
"""

import datetime
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import bcrypt
import jwt
from bson import ObjectId
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pydantic import BaseModel, EmailStr, Field
from pymongo.errors import DuplicateKeyError

SECRET = os.environ["JWT_SECRET_KEY"]
ROUNDS = int(os.environ["BCRYPT_ROUNDS"])
LIFETIME = datetime.timedelta(minutes=15)
DUMMY_HASH = bcrypt.hashpw(b"nobody's password", bcrypt.gensalt(ROUNDS))


class SignUp(BaseModel):
    """What one signs up with."""

    first_name: str = Field(min_length=1, max_length=100)
    last_name: str = Field(min_length=1, max_length=100)
    email: EmailStr
    password: str = Field(min_length=12, max_length=72)
    contact: str
    birthday: datetime.date


class Created(BaseModel):
    """The answer to that."""

    message: str
    id: str


class Token(BaseModel):
    """The answer to a login."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int = int(LIFETIME.total_seconds())


class Profile(BaseModel):
    """The eight fields of a profile."""

    id: str = Field(validation_alias="_id")
    first_name: str
    last_name: str
    email: str
    contact: str
    birthday: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect each worker to MongoDB, and see that the unique index is there."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(os.environ["MONGO_URI"], tz_aware=True)
    app.state.users = client.get_default_database()["users"]
    await app.state.users.create_index("email", unique=True)
    yield
    client.close()


app = FastAPI(lifespan=lifespan)


async def _users(request: Request) -> "AsyncIOMotorCollection[dict[str, Any]]":
    return request.app.state.users


Users = Annotated["AsyncIOMotorCollection[dict[str, Any]]", Depends(_users)]
BearerToken = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="/api/auth/login"))]


async def _current_user(users: Users, token: BearerToken) -> dict[str, Any]:
    refusal = HTTPException(401, "Could not validate credentials", headers={"WWW-Authenticate": "Bearer"})
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise refusal from None
    user = await users.find_one({"_id": claims["sub"]}, {"password": 0})
    if user is None:
        raise refusal
    return user


@app.post("/api/auth/signup", status_code=201)
async def signup(account: SignUp, users: Users) -> Created:
    """Create an account."""
    hashed = await run_in_threadpool(bcrypt.hashpw, account.password.encode(), bcrypt.gensalt(ROUNDS))
    now = datetime.datetime.now(datetime.UTC)
    profile = account.model_dump(mode="json") | {"email": account.email.lower(), "password": hashed.decode()}
    document = {"_id": str(ObjectId()), **profile, "created_at": now, "updated_at": now}
    try:
        await users.insert_one(document)
    except DuplicateKeyError:
        raise HTTPException(409, "User with this email already exists") from None
    return Created(message="User created successfully", id=document["_id"])


@app.post("/api/auth/login")
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()], users: Users) -> Token:
    """Log in with e-mail and password."""
    user = await users.find_one({"email": form.username.lower()})
    stored = user["password"].encode() if user else DUMMY_HASH
    try:
        right = await run_in_threadpool(bcrypt.checkpw, form.password.encode(), stored)
    except ValueError:  # a password of over 72 bytes is nobody's
        right = False
    if user is None or not right:
        raise HTTPException(401, "Incorrect email or password", headers={"WWW-Authenticate": "Bearer"})
    now = datetime.datetime.now(datetime.UTC)
    claims = {"sub": user["_id"], "iat": now, "exp": now + LIFETIME}
    return Token(access_token=jwt.encode(claims, SECRET, algorithm="HS256"))


@app.get("/api/users/me", response_model=Profile)
async def get_me(user: Annotated[dict[str, Any], Depends(_current_user)]) -> dict[str, Any]:
    """Read one's own profile."""
    return user


@app.get("/health")
async def health(users: Users) -> dict[str, str]:
    """Tell whether the database answers."""
    await users.database.command("ping")
    return {"status": "healthy"}
