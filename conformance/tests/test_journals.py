"""Journals are read for many at once."""

from __future__ import annotations

import asyncio

import pytest
from scoring_conformance.engine.journals import JournalReader
from scoring_conformance.problems import HarnessFault


class Mock:
    def __init__(self, fault=None):
        self.reads = []
        self.fault = fault

    def journals(self, names):
        self.reads.append(sorted(names))
        if self.fault is not None:
            raise self.fault
        return {name: {"requests": [name], "connections": []} for name in names}


def test_cases_that_end_together_are_read_together():
    mock = Mock()

    async def main():
        reader = JournalReader(mock)
        return await asyncio.gather(*(reader.read(name) for name in ("a", "b", "a")))

    assert [journal["requests"] for journal in asyncio.run(main())] == [["a"], ["b"], ["a"]]
    assert mock.reads == [["a", "b"]]


def test_one_who_gives_up_takes_nothing_from_the_others():
    async def main():
        reader = JournalReader(Mock())
        first, second = (asyncio.create_task(reader.read("a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(main())["requests"] == ["a"]


def test_a_mock_that_fails_fails_every_read():
    async def main():
        reader = JournalReader(Mock(HarnessFault("gone")))
        return await asyncio.gather(reader.read("a"), reader.read("b"), return_exceptions=True)

    assert [str(fault) for fault in asyncio.run(main())] == ["gone", "gone"]
    with pytest.raises(HarnessFault):
        asyncio.run(JournalReader(Mock(HarnessFault("gone"))).read("a"))
