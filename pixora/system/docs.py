"""`/`, `/openapi.json` and `/docs`."""

from importlib.resources import files

from flask import Response, json, render_template, url_for
from flask_smorest import current_api
from marshmallow import Schema, fields

from pixora.auth.guards import public
from pixora.web.blueprint import Blueprint

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint(
    "docs",
    __name__,
    description="Documentation",
    static_folder=SWAGGER_UI,
    static_url_path="/docs/swagger-ui",
)


class ServiceInfoSchema(Schema):
    """The name and version of the service."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    docs = fields.String(required=True, metadata={"description": "The path of the documentation."})


@blueprint.route("/", "getServiceInfo")
@blueprint.response(200, ServiceInfoSchema, example={"name": "Pixora", "version": "0.1.0", "docs": "/docs"})
@public
def index() -> dict[str, str]:
    """Get the name and version of the service.

    And the path of its documentation.
    """
    info = current_api.spec.to_dict()["info"]
    return {"name": "Pixora", "version": info["version"], "docs": url_for("docs.swagger_ui")}


@blueprint.route("/openapi.json", "getOpenapi")
@blueprint.response(200, {"type": "object"})
@public
def openapi() -> Response:
    """Get the OpenAPI document.

    This document: generators make clients from it.
    """
    return Response(json.dumps(current_api.document()), mimetype="application/json")


@blueprint.route("/docs", "getDocs")
@blueprint.response(200, {"type": "string"}, content_type="text/html")
@public
def swagger_ui() -> Response:
    """Open the API documentation in a browser.

    Swagger UI, with which you can try each route.
    """
    page = Response(render_template("docs.html"))
    page.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return page
