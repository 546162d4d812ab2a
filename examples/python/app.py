"""Another service: it verifies Pixora's access tokens by itself, with the public keys.

pip install flask "pyjwt[crypto]"
PIXORA_URL=https://auth.example.com PIXORA_ISSUER=https://auth.example.com flask --app app run
"""

import os

import jwt
from flask import Flask, abort, request

app = Flask(__name__)
keys = jwt.PyJWKClient(os.environ["PIXORA_URL"] + "/.well-known/jwks.json", lifespan=300)
required = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]


@app.get("/hello")
def hello():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        key = keys.get_signing_key_from_jwt(token)
        options = {"require": required}
        claims = jwt.decode(token, key, audience="pixora", issuer=os.environ["PIXORA_ISSUER"], options=options)
    except jwt.PyJWKClientConnectionError:
        abort(503)
    except jwt.PyJWTError:
        abort(401)
    if scheme.lower() != "bearer" or claims.get("type") != "access":
        abort(401)
    return {"user": claims["sub"]}
