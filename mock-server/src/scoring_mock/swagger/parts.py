"""The parts that the documents of all generations share."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

HEALTH_TEXT = "Simple health check endpoint to ensure the service is up at any given point."
HEALTHY_TEXT = "If service is up and running, this response will be returned with the content 'Healthy'"
SCORE_TEXT = "Run web service's model and get the prediction output"
PAYLOAD_TEXT = "The input payload for executing the real-time machine learning service."
SCORED_TEXT = "The service processed the input correctly and provided a result prediction, if applicable."
FAILED_TEXT = "The service failed to execute due to an error."
SPEC_TEXT = "Get the Swagger specification."
SPEC_RESULT_TEXT = "The Swagger specification."


def bearer_scheme() -> Document:
    """Return the security scheme: an API key named Bearer in the Authorization header."""
    return {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": "For example: Bearer abc123",
    }


def bearer_requirement() -> list[Document]:
    """Return the security requirement of an operation."""
    return [{"Bearer": []}]


def reference(section: str, name: str) -> Document:
    """Return a schema that refers to a definition, for example `#/definitions/ServiceInput`."""
    return {"$ref": f"#/{section}/{name}"}


def swagger2_failure() -> Document:
    """Return the `default` response of an operation of a Swagger 2.0 document."""
    return {"description": FAILED_TEXT, "schema": reference("definitions", "ErrorResponse")}


def swagger2_health() -> Document:
    """Return the path item of `/`."""
    return {
        "get": {
            "operationId": "ServiceHealthCheck",
            "description": HEALTH_TEXT,
            "responses": {
                "200": {
                    "description": HEALTHY_TEXT,
                    "schema": {"type": "string"},
                    "examples": {"application/json": "Healthy"},
                },
                "default": swagger2_failure(),
            },
        }
    }


def swagger2_score() -> Document:
    """Return the path item of `/score`."""
    return {
        "post": {
            "operationId": "RunMLService",
            "description": SCORE_TEXT,
            "security": bearer_requirement(),
            "parameters": [
                {
                    "name": "serviceInputPayload",
                    "in": "body",
                    "description": PAYLOAD_TEXT,
                    "schema": reference("definitions", "ServiceInput"),
                }
            ],
            "responses": {
                "200": {
                    "description": SCORED_TEXT,
                    "schema": reference("definitions", "ServiceOutput"),
                },
                "default": swagger2_failure(),
            },
        }
    }


def swagger2_head(title: str, description: str) -> Document:
    """Return what a Swagger 2.0 document begins with, in its order."""
    return {
        "swagger": "2.0",
        "info": {"title": title, "description": description, "version": "1.0"},
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": bearer_scheme()},
    }
