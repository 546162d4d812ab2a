"""The Flask extensions, unbound. This module imports third parties only; `create_app` binds them."""

from flask_pymongo import PyMongo
from flask_smorest import Api

mongo = PyMongo()
api = Api()
