"""The list of v1 services: filters and order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from scoring_mock.control.calls import bad_request
from scoring_mock.control.values import has_all, image_digest, image_id, model_id
from scoring_mock.service.service import Service

_ORDERS: Final[dict[str, Callable[[Service], float]]] = {
    "createdatdesc": lambda service: -service.created,
    "createdatasc": lambda service: service.created,
    "updatedatdesc": lambda service: -service.updated,
    "updatedatasc": lambda service: service.updated,
}


def select(services: Iterable[Service], query: Mapping[str, str]) -> list[Service]:
    """Return the services that pass every filter in `query` (names in lower case), in the order asked for.

    Unknown parameters are ignored. The newest comes first by default. Raises ControlError for an unknown order.
    """
    order = query.get("orderby", "CreatedAtDesc").lower()
    if order not in _ORDERS:
        raise bad_request("orderby must be one of CreatedAtDesc, CreatedAtAsc, UpdatedAtDesc, UpdatedAtAsc.")
    tests = [(_FILTERS[name], value) for name, value in query.items() if name in _FILTERS and value]
    chosen = [service for service in services if all(test(service, value) for test, value in tests)]
    if order.endswith("desc"):
        chosen.reverse()  # of those made in the same instant, the last is the newest
    return sorted(chosen, key=_ORDERS[order])


_FILTERS: Final[dict[str, Callable[[Service, str], bool]]] = {
    "name": lambda service, value: service.name == value,
    "computetype": lambda service, value: service.profile.compute_type.lower() == value.lower(),
    "imagename": lambda service, value: image_id(service).partition(":")[0] == value,
    "imageid": lambda service, value: image_id(service) == value,
    "imagedigest": lambda service, value: image_digest(service) == value,
    "modelname": lambda service, value: service.details.model_name == value,
    "modelid": lambda service, value: model_id(service) == value,
    "tag": lambda service, value: value in service.details.tags,
    "tags": lambda service, value: has_all(service.details.tags, value),
    "properties": lambda service, value: has_all(service.details.properties, value),
    "runid": lambda service, value: False,  # noqa: ARG005 - no model of the mock comes from a run
}
