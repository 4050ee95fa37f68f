"""The OpenAPI documents of a service."""
