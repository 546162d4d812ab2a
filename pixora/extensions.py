"""The Flask extensions, which `create_app` binds to an application. Imports third-party packages only."""

from flask_pymongo import PyMongo
from flask_smorest import Api

mongo = PyMongo()
api = Api()
