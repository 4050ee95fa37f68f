"""The document of the article: what services of the legacy generation publish (W07)."""

from __future__ import annotations

import copy

from scoring_mock.scripts.script import Schema
from scoring_mock.swagger.parts import Document, swagger2_head, swagger2_health, swagger2_score

# The article prints int64 cells above an example of integers, and sends doubles: its own rows break its own document.
_NUMBER_CELL = {"type": "number", "format": "double"}
_INT64_CELL = {"type": "integer", "format": "int64"}


def article_schema(*, int64_cells: bool = False) -> Schema:
    """Return the article's two definitions; its int64 cells letter for letter, or (by default) doubles."""
    cell = _INT64_CELL if int64_cells else _NUMBER_CELL
    return Schema(
        service_input={
            "type": "object",
            "properties": {"data": {"type": "array", "items": {"type": "array", "items": dict(cell)}}},
            "example": {"data": [[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]},
        },
        service_output={
            "type": "array",
            "items": {"type": "number", "format": "double"},
            "example": [3726.995],
        },
    )


def legacy_document(title: str, schema: Schema) -> Document:
    """Return the Swagger 2.0 document of a legacy service.

    Its ErrorResponse promises a `status_code` that no generation of the server has ever sent (W07).
    """
    return {
        **swagger2_head(title, f"API specification for Azure Machine Learning {title}"),
        "paths": {"/": swagger2_health(), "/score": swagger2_score()},
        "definitions": {
            "ServiceInput": copy.deepcopy(schema.service_input),
            "ServiceOutput": copy.deepcopy(schema.service_output),
            "ErrorResponse": {
                "type": "object",
                "properties": {
                    "status_code": {"type": "integer", "format": "int32"},
                    "message": {"type": "string"},
                },
            },
        },
    }
