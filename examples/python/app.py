"""Another service: it verifies Pixora's access tokens by itself, with the public keys.

pip install flask "pyjwt[crypto]"
PIXORA_URL=https://auth.example.com PIXORA_ISSUER=https://auth.example.com flask --app app run
"""

import os
import time

import jwt
from flask import Flask, abort, request

app = Flask(__name__)
keys = jwt.PyJWKClient(os.environ["PIXORA_URL"] + "/.well-known/jwks.json", lifespan=300)
required = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]


def authenticate():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        key = keys.get_signing_key_from_jwt(token)
        options = {"require": required}
        # The clock of the machine that issued the token may be a little ahead of ours. exp has no leeway, see below.
        claims = jwt.decode(
            token, key, audience="pixora", issuer=os.environ["PIXORA_ISSUER"], options=options, leeway=5
        )
    except jwt.PyJWKClientConnectionError:
        abort(503)
    except jwt.PyJWTError:
        abort(401)
    if scheme.lower() != "bearer" or claims.get("type") != "access" or claims["exp"] <= time.time():
        abort(401)
    return claims


@app.get("/hello")
def hello():
    return {"user": authenticate()["sub"]}


@app.get("/admin")
def admin():
    if "admin" not in authenticate().get("roles", ()):  # as they were when the token was issued
        abort(403)
    return {"secret": "for administrators"}
