"""Long-running operations are bounded."""

from __future__ import annotations

from scoring_mock.control.operations import Operations


def test_old_operations_are_forgotten() -> None:
    operations = Operations(lambda: 0.0, 1.0)
    first = operations.start("Create", "first")
    others = [operations.start("Create", f"r{number}") for number in range(1000)]
    assert operations.get(first.id) is None
    assert operations.latest_on("first") is None
    assert operations.get(others[0].id) is others[0]
    assert operations.latest_on("r999") is others[-1]


def test_a_newer_operation_on_a_resource_hides_the_older_one() -> None:
    now = [0.0]
    operations = Operations(lambda: now[0], 1.0)
    operations.start("Create", "it")
    now[0] = 0.5
    update = operations.start("Update", "it")
    assert operations.running_on("it") is update
    now[0] = 1.5
    assert operations.running_on("it") is None
    assert operations.latest_on("it") is update
