"""The mock in a container: image built with Docker's SDK, run with testcontainers, removed at the end of every run.

The container uses the host's network, because Docker's port proxy turns a reset into an orderly close and because
clients refuse to send a key over plain http to a host that is not loopback: so everybody talks to 127.0.0.1.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import socket
import time
from typing import Any

from scoring_conformance.mock.admin import Mock
from scoring_conformance.paths import repository
from scoring_conformance.problems import HarnessFault, UsageProblem

IMAGE = "azureml-scoring-clients/mock-server:local"
LABEL = "azureml-scoring-clients.conformance"
OWNER = LABEL + ".owner"
_START_LIMIT = 60.0  # seconds until the mock counts as hung


def engine() -> Any:
    """Docker's client, once an engine answered.

    Raises:
        UsageProblem: none answers.
    """
    from docker.errors import DockerException

    import docker  # slow to import, and not needed without the container leg

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise UsageProblem(
            "MOCK=container: no Docker engine answers; start one (`docker info` shows it), or use MOCK=embedded"
        ) from error
    return client


def sweep(client: Any) -> list[str]:
    """Remove the containers of runs on this machine that are no longer alive; their short ids."""
    removed = []
    for container in client.api.containers(all=True, filters={"label": LABEL}):
        host, _, rest = container["Labels"].get(OWNER, "").partition(":")
        pid = rest.partition(":")[0]
        if host == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
            _remove(client, container["Id"])
            removed.append(container["Id"][:12])
    return removed


def _remove(client: Any, container_id: str) -> None:
    """Remove a container that somebody else may be removing at this moment."""
    from docker.errors import APIError, NotFound

    try:
        client.api.remove_container(container_id, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:  # its removal is under way
            raise


def container_mock() -> Mock:
    """Build the image if needed, start a container, wait for its first line and its health.

    Raises:
        UsageProblem: there is no Docker engine.
        HarnessFault: the image does not build or the mock does not come up.
    """
    client = engine()
    sweep(client)
    from docker.errors import APIError, BuildError

    try:
        client.images.build(path=str(repository()), dockerfile="docker/mock-server.Dockerfile", tag=IMAGE, rm=True)
    except (BuildError, APIError) as error:
        raise HarnessFault(f"docker/mock-server.Dockerfile does not build: {error}") from error

    os.environ.setdefault(
        "TESTCONTAINERS_RYUK_DISABLED", "true"
    )  # its image may not be at hand; the sweep does its work
    from testcontainers.core.container import DockerContainer

    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    container = DockerContainer(IMAGE).with_kwargs(network_mode="host", labels={LABEL: "mock", OWNER: owner})

    def close() -> None:
        atexit.unregister(close)
        # By label, not by handle: an interrupt can fall between the container's birth and the return of its handle.
        for left in client.api.containers(all=True, filters={"label": f"{OWNER}={owner}"}):
            _remove(client, left["Id"])

    atexit.register(close)
    try:
        container.start()
        return Mock(_first_line(container.get_wrapped_container()), "container", close)
    except BaseException:
        close()
        raise


def _first_line(container: Any) -> dict[str, Any]:
    """The mock's first line: where its listeners are.

    Raises:
        HarnessFault: the container ended, or said nothing for a minute; its log is shown.
    """
    limit = time.monotonic() + _START_LIMIT
    log = b""
    for chunk in container.logs(stream=True, follow=True, stdout=True, stderr=True):
        log += chunk
        for line in log.splitlines():
            if line.startswith(b"{"):
                try:
                    return dict(json.loads(line))
                except ValueError:
                    break  # not whole yet
        if time.monotonic() > limit:
            break
    raise HarnessFault(
        f"the mock's container did not print its first line; its log ends:\n{log[-2000:].decode('utf-8', 'replace')}"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
