"""The Flask extensions, which `create_app` binds to an application. Imports third-party packages only."""

from flask_pymongo import PyMongo

mongo = PyMongo()
