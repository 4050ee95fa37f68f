"""The mock as the suite meets it: started embedded, in a container, or found at an admin address."""

from __future__ import annotations

from scoring_conformance.mock.admin import Mock
from scoring_conformance.mock.container import container_mock
from scoring_conformance.mock.embedded import embedded_mock
from scoring_conformance.mock.remote import remote_mock
from scoring_conformance.problems import UsageProblem

__all__ = ["Mock", "open_mock"]


def open_mock(where: str) -> Mock:
    """The mock named by ``MOCK``: ``embedded``, ``container``, or the URL of an admin plane.

    Raises:
        UsageProblem: none of these, or it cannot be had.
        HarnessFault: it was started and did not come up.
    """
    if where == "embedded":
        return embedded_mock()
    if where == "container":
        return container_mock()
    if where.startswith(("http://", "https://")):
        return remote_mock(where)
    raise UsageProblem(
        f"MOCK={where!r}: expected embedded, container, or the URL of a mock's admin plane (http://127.0.0.1:PORT)"
    )
