"""`/health` for load balancers, `/health/live` for process supervisors."""

from flask import Response, jsonify
from marshmallow import Schema, fields

from pixora.auth.guards import public
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.web.blueprint import OPERATORS, Blueprint
from pixora.web.fields import one_of

blueprint = Blueprint(
    "health", __name__, url_prefix="/health", description="For operators: health and metrics", tag=OPERATORS
)


class HealthSchema(Schema):
    """Whether the service can handle requests."""

    status = fields.String(required=True, metadata=one_of("healthy", "unhealthy"))
    database = fields.String(
        required=True, metadata={"description": "`connected`, or the reason in one word.", "example": "connected"}
    )


class LiveSchema(Schema):
    """The process is up."""

    status = fields.String(required=True, metadata=one_of("alive"))


@blueprint.route("", "getHealth")
@blueprint.response(200, HealthSchema, example={"status": "healthy", "database": "connected"})
@blueprint.alt_response(503, schema=HealthSchema, example={"status": "unhealthy", "database": "unreachable"})
@public
def ready() -> dict[str, str] | Response:
    """Check that the service is ready.

    It is when the database answers and has its indexes. For load balancers.
    """
    try:
        services.database.ping()
    except DatabaseUnavailable as error:
        response = jsonify(status="unhealthy", database=error.reason)
        response.status_code = error.status
        return response
    return {"status": "healthy", "database": "connected"}


@blueprint.route("/live", "getLiveness")
@blueprint.response(200, LiveSchema, example={"status": "alive"})
@public
def live() -> dict[str, str]:
    """Check that the process is up.

    The database is not checked, because a restart of the process would not bring it back. For process supervisors.
    """
    return {"status": "alive"}
