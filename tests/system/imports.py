"""The service, which also says what its worker has imported: ``gunicorn tests.system.imports:app``."""

import gc
import json
import sys

from wsgi import app as service


def app(environ, start_response):
    if environ["PATH_INFO"] != "/imports":
        return service(environ, start_response)
    modules = [name for name, module in sys.modules.items() if module]
    body = json.dumps({"modules": modules, "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


app.extensions = service.extensions
