"""`/brand.css`: the colour of the operator on the pages."""

from flask import Blueprint, Response

from pixora.services import services
from pixora.web.colors import text_color

blueprint = Blueprint("brand", __name__)

SECONDS_CACHED = 300


@blueprint.get("/brand.css")
def style() -> Response:
    """Return the style sheet of `BRAND_COLOR`; it is empty where there is none."""
    color = services.settings.brand_color
    rule = f"background: {color}; color: {text_color(color)};" if color else ""
    sheet = f"button:not(.show), button:not(.show):hover, .button {{ {rule} }}\n" if rule else ""
    response = Response(sheet, mimetype="text/css")
    response.headers["Cache-Control"] = f"public, max-age={SECONDS_CACHED}"
    return response
