"""The backend of index.html: it serves the page, and verifies the access tokens that the page sends.

pip install flask "pyjwt[crypto]"
PIXORA_URL=https://auth.example.com PIXORA_ISSUER=https://auth.example.com flask --app app run
Pixora needs the origin of the page in CORS_ORIGINS, and a JWT_KEY_DIR.
"""

import os
import time
from pathlib import Path

import jwt
from flask import Flask, abort, render_template_string, request
from werkzeug.datastructures import WWWAuthenticate

app = Flask(__name__)
PIXORA = os.environ["PIXORA_URL"]
PAGE = Path(__file__).with_name("index.html").read_text()
# The page keeps its tokens where every script of its origin can read them: let no script run but those in static/.
CONTENT_SECURITY_POLICY = (
    f"default-src 'self'; connect-src 'self' {PIXORA}; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
INVALID_TOKEN = WWWAuthenticate("bearer", {"error": "invalid_token"})  # RFC 6750: the page refreshes its tokens then
REQUIRED = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
keys = jwt.PyJWKClient(PIXORA + "/.well-known/jwks.json", lifespan=300)


@app.get("/")
def page():
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return render_template_string(PAGE, pixora=PIXORA), headers


@app.get("/api/greeting")
def greeting():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        key = keys.get_signing_key_from_jwt(token)
        # The clock of the machine that issued the token may be a little ahead of ours. exp has no leeway, see below.
        claims = jwt.decode(
            token, key, audience="pixora", issuer=os.environ["PIXORA_ISSUER"], options={"require": REQUIRED}, leeway=5
        )
    except jwt.PyJWKClientConnectionError:
        abort(503)
    except jwt.PyJWTError:
        abort(401, www_authenticate=INVALID_TOKEN)
    if scheme.lower() != "bearer" or claims.get("type") != "access" or claims["exp"] <= time.time():
        abort(401, www_authenticate=INVALID_TOKEN)
    return {"greeting": f"Hello, {claims['sub']}. Your roles: {', '.join(claims.get('roles', []))}."}
