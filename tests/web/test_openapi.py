"""The OpenAPI document is made when it is needed, and in a worker before it serves."""

import logging
import runpy
import sys
from types import SimpleNamespace

from tests import ROOT


def paths_described(app):
    return set(app.extensions["openapi"].spec.to_dict()["paths"])


def test_the_routes_are_described_when_the_document_is_asked_for(make_app):
    app = make_app()
    assert paths_described(app) == set()
    paths = app.test_client().get("/openapi.json").json["paths"]
    assert paths_described(app) == set(paths) >= {"/api/auth/login", "/api/users/me", "/health"}
    assert app.test_client().get("/openapi.json").json["paths"] == paths


def test_a_worker_describes_them_before_it_serves(make_app, environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "config", sys.modules["config"])  # which gunicorn.conf.py removes
    app = make_app()
    worker = SimpleNamespace(wsgi=app, log=SimpleNamespace(error_log=logging.getLogger("test")))
    runpy.run_path(str(ROOT / "gunicorn.conf.py"))["post_worker_init"](worker)
    assert "/api/auth/login" in paths_described(app)
