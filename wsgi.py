"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi``."""

import config
from pixora import create_app

app = create_app(config.load_or_exit())
