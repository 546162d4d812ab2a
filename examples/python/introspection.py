"""Another service: it asks Pixora about each access token, so it notices at once that a session has ended.

pip install flask requests
PIXORA_URL=https://auth.example.com SERVICE_NAME=orders SERVICE_KEY=… flask --app introspection run
Pixora has the SHA-256 hash of the key in SERVICE_KEYS.
"""

import os

import requests
from flask import Flask, abort, request

app = Flask(__name__)
service = requests.Session()
service.auth = os.environ["SERVICE_NAME"], os.environ["SERVICE_KEY"]


def authenticate():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        abort(401)
    try:
        answer = service.post(os.environ["PIXORA_URL"] + "/api/auth/introspect", data={"token": token}, timeout=5)
        answer.raise_for_status()
    except requests.RequestException:
        abort(503)
    found = answer.json()
    if not found["active"]:
        abort(401)
    return found


@app.get("/hello")
def hello():
    return {"user": authenticate()["sub"]}


@app.get("/admin")
def admin():
    if "admin" not in authenticate()["roles"]:
        abort(403)
    return {"secret": "for administrators"}
