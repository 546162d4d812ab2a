"""`/health` for the load balancer, `/health/live` for the process supervisor."""

from flask import Response, jsonify
from marshmallow import Schema, fields

from pixora.auth.guards import public
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.web.blueprint import Blueprint

blueprint = Blueprint("health", __name__, url_prefix="/health", description="Is it up, is it ready")


class HealthSchema(Schema):
    """Whether requests can be served."""

    status = fields.String(required=True, metadata={"enum": ["healthy", "unhealthy"]})
    database = fields.String(
        required=True, metadata={"description": "connected, or one word for why not.", "example": "connected"}
    )


class LiveSchema(Schema):
    """The process answers."""

    status = fields.String(required=True, metadata={"enum": ["alive"]})


@blueprint.route("")
@blueprint.response(200, HealthSchema, example={"status": "healthy", "database": "connected"})
@blueprint.alt_response(503, schema=HealthSchema, example={"status": "unhealthy", "database": "unreachable"})
@public
def ready() -> dict[str, str] | Response:
    """Tell whether requests can be served: the database answers and its indexes are there."""
    try:
        services.database.ping()
    except DatabaseUnavailable as error:
        response = jsonify(status="unhealthy", database=error.reason)
        response.status_code = error.status
        return response
    return {"status": "healthy", "database": "connected"}


@blueprint.route("/live")
@blueprint.response(200, LiveSchema, example={"status": "alive"})
@public
def live() -> dict[str, str]:
    """Tell that the process answers. Asks nothing of the database: a restart would not bring that back."""
    return {"status": "alive"}
