"""All services of the mock: made, found and dropped here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scoring_mock.http_types import Ports, Request, Response, SpecError
from scoring_mock.profiles.call import split_target
from scoring_mock.service.acts import perform
from scoring_mock.service.service import Service
from scoring_mock.service.spec import parse_spec

# The listeners of a service that owns its host, as far as they are switched on.
_USUAL = ("http", "https")


class Registry:
    """The services by name, and by the path that they live under."""

    def __init__(self, ports: Ports) -> None:
        """Make an empty registry; `ports` opens listeners for services that own their host."""
        self._ports = ports
        self._services: dict[str, Service] = {}
        self._by_base: dict[str, Service] = {}
        self._by_target: dict[str, Service] = {}
        self._bases: dict[str, dict[str, str]] = {}

    def __iter__(self) -> Iterator[Service]:
        """Go through all services, oldest first."""
        return iter(self._services.values())

    def get(self, name: str) -> Service | None:
        """Return the service of that name, None when there is none."""
        return self._services.get(name)

    def resolve(self, listener: str, request: Request) -> Service | None:  # noqa: ARG002
        """Find the service that a request is for: the listener's owner, else the one whose path the target is below."""
        if request.owner is not None:
            return self._services.get(request.owner)
        target = request.target
        service = self._by_target.get(target)
        if service is not None:
            return service
        if not target.startswith("/"):
            target = split_target(target)[0]
        # /api/v1/service/<name>/...
        parts = target.split("/", 5)
        return self._by_base.get("/".join(parts[:5])) if len(parts) == 6 else None

    def not_found(self, request: Request) -> Response:
        """Answer a request for which there is no service."""
        body = b"There is no service at this path."
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        return Response(404, "Not Found", headers, b"" if request.method == "HEAD" else body, source="front-end")

    def create(self, specs: list[Any]) -> list[dict[str, Any]]:
        """Make services, all or none. Raises SpecError when a spec is wrong or a name is taken."""
        made: list[Service] = []
        taken = set(self._services)
        for index, value in enumerate(specs):
            spec = parse_spec(value, f"services[{index}]")
            if spec.name in taken:
                raise SpecError(f"services[{index}].name: there is a service {spec.name!r} already")
            taken.add(spec.name)
            made.append(Service(spec))
        try:
            for service in made:
                self._add(service)
        except BaseException:
            self.drop([service.name for service in made])
            raise
        return [self.describe(service.name) for service in made]

    def _add(self, service: Service) -> None:
        self._services[service.name] = service
        shared = self._ports.shared()
        names = service.listeners
        if names is None:
            names = tuple(name for name in _USUAL if name in shared) if service.profile.dedicated else ()
        if names:
            self._bases[service.name] = self._ports.open(
                service.name, list(names), service.connections, newest_tls=service.profile.newest_tls
            )
        else:
            self._bases[service.name] = shared
        if service.base:
            self._by_base[service.base] = service
            self._by_target[service.scoring_target] = service

    def describe(self, name: str) -> dict[str, Any]:
        """Return the `service` object of the admin plane. Raises KeyError for an unknown name."""
        return self._services[name].describe(self._bases[name])

    def act(self, name: str, act: Any) -> dict[str, Any]:
        """Do one act on a service. Raises KeyError for an unknown name, SpecError for a bad act."""
        return perform(self._services[name], act)

    def drop(self, names: list[str]) -> int:
        """Forget services and close their connections; unknown names are ignored. Returns how many there were."""
        dropped = 0
        for name in names:
            service = self._services.pop(name, None)
            if service is None:
                continue
            dropped += 1
            self._bases.pop(name, None)
            self._by_base.pop(service.base, None)
            self._by_target.pop(service.scoring_target, None)
            self._ports.close(name)
        return dropped
