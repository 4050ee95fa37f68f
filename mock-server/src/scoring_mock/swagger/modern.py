"""The documents that the inference server 1.5.1 generates: Swagger 2.0, OpenAPI 3.0.3 and 3.1.0 (W15)."""

from __future__ import annotations

import copy
from collections.abc import Callable

from scoring_mock.scripts.script import Schema
from scoring_mock.swagger import parts
from scoring_mock.swagger.parts import Document, reference

_SCHEMAS = "components/schemas"
_VERSION_PARAMETER = {"type": "integer", "enum": [2, 3]}
_ERROR_RESPONSE = {"type": "object", "properties": {"message": {"type": "string"}}}

# What stands in for the definitions of a run() without decorators.
UNKNOWN_SCHEMA = Schema(
    service_input={"type": "object", "example": {}}, service_output={"type": "object", "example": {}}
)


def _description(title: str) -> str:
    return f"API specification for the Azure Machine Learning service {title}"


def _definitions(schema: Schema) -> Document:
    return {
        "ServiceInput": copy.deepcopy(schema.service_input),
        "ServiceOutput": copy.deepcopy(schema.service_output),
        "ErrorResponse": copy.deepcopy(_ERROR_RESPONSE),
    }


def swagger2(title: str, schema: Schema) -> Document:
    """Return the Swagger 2.0 document, the default one."""
    specification = {
        "get": {
            "operationId": "GetSwaggerSpec",
            "description": parts.SPEC_TEXT,
            "parameters": [{"name": "version", "in": "query", "required": False, **copy.deepcopy(_VERSION_PARAMETER)}],
            "responses": {
                "200": {"description": parts.SPEC_RESULT_TEXT, "schema": {"type": "string"}},
                "default": parts.swagger2_failure(),
            },
        }
    }
    return {
        **parts.swagger2_head(title, _description(title)),
        "paths": {
            "/": parts.swagger2_health(),
            "/score": parts.swagger2_score(),
            "/swagger.json": specification,
        },
        "definitions": _definitions(schema),
    }


def openapi3(title: str, schema: Schema) -> Document:
    """Return the OpenAPI 3.0.3 document."""

    def content(media_type: str, body: Document) -> Document:
        return {"content": {media_type: {"schema": body}}}

    def failure() -> Document:
        return {
            "description": parts.FAILED_TEXT,
            **content("application/json", reference(_SCHEMAS, "ErrorResponse")),
        }

    health = {
        "get": {
            "operationId": "ServiceHealthCheck",
            "description": parts.HEALTH_TEXT,
            "responses": {
                "200": {
                    "description": parts.HEALTHY_TEXT,
                    **content("text/plain", {"type": "string", "example": "Healthy"}),
                },
                "default": failure(),
            },
        }
    }
    score = {
        "post": {
            "operationId": "RunMLService",
            "description": parts.SCORE_TEXT,
            "security": parts.bearer_requirement(),
            "requestBody": {
                "description": parts.PAYLOAD_TEXT,
                **content("application/json", reference(_SCHEMAS, "ServiceInput")),
            },
            "responses": {
                "200": {
                    "description": parts.SCORED_TEXT,
                    **content("application/json", reference(_SCHEMAS, "ServiceOutput")),
                },
                "default": failure(),
            },
        }
    }
    specification = {
        "get": {
            "operationId": "GetSwaggerSpec",
            "description": parts.SPEC_TEXT,
            "parameters": [
                {
                    "name": "version",
                    "in": "query",
                    "required": False,
                    "schema": copy.deepcopy(_VERSION_PARAMETER),
                }
            ],
            "responses": {
                "200": {"description": parts.SPEC_RESULT_TEXT, **content("text/plain", {"type": "string"})},
                "default": failure(),
            },
        }
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "description": _description(title), "version": "1.0"},
        "security": parts.bearer_requirement(),
        "paths": {"/": health, "/score": score, "/swagger.json": specification},
        "components": {
            "schemas": _definitions(schema),
            "securitySchemes": {"Bearer": parts.bearer_scheme()},
        },
    }


def openapi31(title: str, schema: Schema) -> Document:
    """Return the OpenAPI 3.1.0 document: the 3.0.3 one under another number."""
    return {**openapi3(title, schema), "openapi": "3.1.0"}


# `?version=` to document; the supported ones are listed in the 404 text without their aliases.
BUILDERS: dict[str, Callable[[str, Schema], Document]] = {
    "2": swagger2,
    "2.0": swagger2,
    "3": openapi3,
    "3.0": openapi3,
    "3.1": openapi31,
}
SUPPORTED_TEXT = "2, 3, 3.1"
