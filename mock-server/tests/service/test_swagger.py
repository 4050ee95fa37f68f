"""The OpenAPI documents: the article's, the genuine server's, and that both are valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from scoring_mock.http_types import SpecError
from scoring_mock.scripts.catalogue import SCRIPTS
from scoring_mock.service.registry import Registry

ARTICLE = json.loads((Path(__file__).parent / "data" / "article-swagger.json").read_text())
INT64 = {"type": "integer", "format": "int64"}
NUMBER = {"type": "number", "format": "double"}


def document(call: Any, query: str = "") -> dict[str, Any]:
    reply = call("GET", f"/swagger.json{query}")
    assert reply.status == 200
    assert ("content-type", "application/json") in [(name.lower(), value) for name, value in reply.headers]
    decoded: dict[str, Any] = json.loads(reply.body)
    return decoded


def cells(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["data"]["items"]["items"]
    return found


def test_the_int64_document_is_the_articles_letter_for_letter(make: Callable[..., Any]) -> None:
    call = make(profile="aks-v1", server_generation="legacy", swagger_cells="int64", name="myservice")
    served = document(call)
    assert served == ARTICLE
    assert json.dumps(served) == json.dumps(ARTICLE)  # the order of the members too


@pytest.mark.parametrize("profile", ["aci-v1", "aks-v1", "k8s-v2"])
def test_the_legacy_document_is_the_articles_but_for_its_cells(make: Callable[..., Any], profile: str) -> None:
    served = document(make(profile=profile, server_generation="legacy", name="myservice"))
    article = json.loads(json.dumps(ARTICLE))
    assert cells(article["definitions"]["ServiceInput"]) == INT64
    cells(article["definitions"]["ServiceInput"]).clear()
    cells(article["definitions"]["ServiceInput"]).update(NUMBER)
    assert served == article


def test_the_legacy_document_promises_a_status_code(make: Callable[..., Any]) -> None:  # W07
    call = make(profile="aks-v1", server_generation="legacy")
    promised = document(call)["definitions"]["ErrorResponse"]["properties"]
    assert set(promised) == {"status_code", "message"}
    assert b"status_code" not in call(body={}).body


@pytest.mark.parametrize("profile", ["aci-v1", "aks-v1", "k8s-v2", "managed-v2"])
def test_the_title_is_the_services_name(make: Callable[..., Any], profile: str) -> None:
    served = document(make(profile=profile, name="myservice"))
    assert served["info"]["title"] == "myservice"
    assert served["info"]["description"].endswith("Azure Machine Learning service myservice")


def test_modern_documents_describe_errors_as_they_are(container: Any) -> None:
    served = document(container)
    assert served["definitions"]["ErrorResponse"]["properties"] == {"message": {"type": "string"}}
    assert served["info"]["title"] == "ML service"
    assert list(served["paths"]) == ["/", "/score", "/swagger.json"]
    assert served["paths"]["/score"]["post"]["security"] == [{"Bearer": []}]
    assert "security" not in served["paths"]["/"]["get"]
    assert cells(served["definitions"]["ServiceInput"]) == NUMBER


@pytest.mark.parametrize(
    ("query", "member", "version"),
    [
        ("", "swagger", "2.0"),
        ("?version=2", "swagger", "2.0"),
        ("?version=2.0", "swagger", "2.0"),
        ("?version=3", "openapi", "3.0.3"),
        ("?version=3.0", "openapi", "3.0.3"),
        ("?version=3.1", "openapi", "3.1.0"),
        ("?version=2&version=3", "swagger", "2.0"),
        ("?other=1&version=3", "openapi", "3.0.3"),
    ],
)
def test_versions(container: Any, query: str, member: str, version: str) -> None:  # W15
    assert document(container, query)[member] == version


@pytest.mark.parametrize("version", ["1", "", "abc", "2.00", "4"])
def test_unknown_versions(container: Any, version: str) -> None:  # W15
    reply = container("GET", f"/swagger.json?version={version}")
    message = f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."
    assert (reply.status, json.loads(reply.body)) == (404, {"message": message})


def test_without_a_schema_a_modern_server_has_a_document_and_a_legacy_one_has_not(make: Callable[..., Any]) -> None:
    modern = document(make(profile="k8s-v2", script="plain"))
    assert modern["definitions"]["ServiceInput"] == {"type": "object", "example": {}}
    reply = make(profile="k8s-v2", script="plain", server_generation="legacy")("GET", "/swagger.json")
    assert (reply.status, reply.body) == (404, b'"Swagger not found"')  # W16


def test_a_legacy_server_ignores_the_version(make: Callable[..., Any]) -> None:
    call = make(profile="aks-v1", server_generation="legacy")
    assert document(call, "?version=3") == document(call)


@pytest.mark.parametrize("spec", [{"server_generation": "modern"}, {"server_generation": "legacy", "script": "plain"}])
def test_int64_cells_are_the_articles_document_only(registry: Registry, spec: dict[str, str]) -> None:
    with pytest.raises(SpecError, match="swagger_cells int64"):
        registry.create([{"swagger_cells": "int64", **spec}])


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("query", "validator"),
    [("", OpenAPIV2SpecValidator), ("?version=3", OpenAPIV30SpecValidator), ("?version=3.1", OpenAPIV31SpecValidator)],
)
def test_modern_documents_are_valid(make: Callable[..., Any], script: str, query: str, validator: Any) -> None:
    validator(document(make(profile="container", script=script), query)).validate()


@pytest.mark.parametrize("cell_type", ["number", "int64"])
def test_legacy_documents_are_valid(make: Callable[..., Any], cell_type: str) -> None:
    call = make(profile="aks-v1", server_generation="legacy", swagger_cells=cell_type)
    OpenAPIV2SpecValidator(document(call)).validate()


def test_the_validator_would_complain(container: Any) -> None:
    broken = document(container)
    del broken["paths"]["/score"]["post"]["responses"]
    with pytest.raises(Exception, match="responses"):
        OpenAPIV2SpecValidator(broken).validate()


def test_the_example_of_the_document_scores_as_the_document_says(make: Callable[..., Any]) -> None:
    call = make(profile="aks-v1", server_generation="legacy")
    definitions = document(call)["definitions"]
    (score,) = json.loads(call(body=definitions["ServiceInput"]["example"]).body)
    assert round(score, 3) == definitions["ServiceOutput"]["example"][0] == 3726.995
