"""What every request goes through: middleware, bodies, problems, OpenAPI, pagination, ETags, fields."""
