"""What tests sign up and log in with, and what the FastAPI service left behind."""

import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "difference-engine-no-2"

# A service that introspects tokens, and the hash of its key.
SERVICE, SERVICE_KEY = "orders", "0f" * 32
SERVICE_KEYS = f"{SERVICE}:{hashlib.sha256(SERVICE_KEY.encode()).hexdigest()}"

# PASSWORD by bcrypt at cost 4, and the same in the prefixes that other implementations write.
HASH_2B = "$2b$04$muw7kgE2ciZASCJEOOQ5EOvOXaHpSWrGNVzsXqjOF1CkPGGjGu3Be"
HASH_2A = HASH_2B.replace("$2b$", "$2a$")
HASH_2Y = HASH_2B.replace("$2b$", "$2y$")

# PASSWORD as other systems hash it, as cheaply as they can. PBKDF2 with SHA-256 is there as passlib and PHC write it.
ARGON2ID = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$aCw2rZ5f/gXUQuC7x34uq3vIiWuYuhqosovXdutRmW0"
SCRYPT = "$scrypt$ln=4,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$2h7wVEha9jh6OVDtm0BDHUS2ZnUy8Je9FZoyxlyf2FY"
PBKDF2 = "$pbkdf2-sha256$10$MDEyMzQ1Njc4OWFiY2RlZg$C0pjCU9TcwlGwE8qk9IbHM/eHX4z9YAA7tl8C76G4js"
PBKDF2_SHA512 = (
    "$pbkdf2-sha512$i=10,l=64$MDEyMzQ1Njc4OWFiY2RlZg"
    "$agCYXZkkO0clUkHmptlnuRDSxhx2DAwm2BVIZ0pSC3LIBu2Q3R+m7MFnzzelFDIv/N2oUyLPuGiNw7Fi8BBqtA"
)
PHC_HASHES = ARGON2ID, SCRYPT, PBKDF2, PBKDF2.replace("$10$", "$i=10,l=32$"), PBKDF2_SHA512


class Account(NamedTuple):
    id: str
    email: str
    token: str
    refresh_token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def signup_body(**changes: Any) -> dict[str, Any]:
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "password": PASSWORD,
        "contact": "+442079460958",
        "birthday": "1990-12-10",
    } | changes


def sign_up(client: FlaskClient, **changes: Any) -> TestResponse:
    return client.post("/api/auth/signup", json=signup_body(**changes))


def log_in(
    client: FlaskClient, email: str = "ada@example.com", password: str = PASSWORD, **options: Any
) -> TestResponse:
    """Send the login form; `options` are those of Flask's test client, such as `headers`."""
    return client.post("/api/auth/login", data={"username": email, "password": password}, **options)


def fastapi_user(**changes: Any) -> dict[str, Any]:
    """A document as the FastAPI service wrote it: mixed case, free text, no field of ours."""
    return {
        "_id": str(ObjectId()),
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "Grace.Hopper@example.com",
        "password": HASH_2B,
        "contact": "ring the Navy, ext. 7",
        "birthday": "1906-12-09",
        "created_at": datetime(2023, 5, 17, 8, 30, 0, 123000, tzinfo=UTC),
        "updated_at": datetime(2023, 5, 17, 8, 30, 0, 123000, tzinfo=UTC),
    } | changes


def refusal(response: TestResponse) -> tuple[int, str]:
    """Return the status and the `code` of a problem."""
    return response.status_code, response.json["code"]  # type: ignore[index]


def operations_of(document):
    """Return the operations of an OpenAPI document by route, such as `GET /api/users/me`."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
