"""How many calls go at once."""

from __future__ import annotations

import asyncio

from scoring_conformance.engine.lane import Lane


async def turns() -> None:
    """Let everybody who can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def holding(lane, count, log, name, done):
    async def hold():
        async with lane.held(count):
            log.append(name)
            await done.wait()

    return asyncio.create_task(hold())


def test_several_places_are_taken_at_once_and_in_turn():
    async def main():
        lane, log, first, rest = Lane(3), [], asyncio.Event(), asyncio.Event()
        tasks = [holding(lane, 2, log, "two", first), holding(lane, 3, log, "three", rest)]
        await turns()
        tasks.append(holding(lane, 1, log, "one", rest))
        await turns()
        assert log == ["two"]  # one place is free, and it is the turn of the one who wants three
        first.set()
        await turns()
        assert log == ["two", "three"]
        rest.set()
        await asyncio.gather(*tasks)
        assert log == ["two", "three", "one"]

    asyncio.run(main())


def test_who_wants_more_than_there_is_gets_all():
    async def main():
        lane, log, done = Lane(2), [], asyncio.Event()
        task = holding(lane, 64, log, "all", done)
        await turns()
        assert log == ["all"]
        done.set()
        await task
        async with lane.held(2):
            pass

    asyncio.run(main())


def test_a_waiter_who_gives_up_is_passed_over_and_loses_no_place():
    async def main():
        lane, log, first, rest = Lane(1), [], asyncio.Event(), asyncio.Event()
        tasks = [holding(lane, 1, log, name, rest if name else first) for name in ("", "gone", "next")]
        await turns()
        tasks[1].cancel()
        await turns()
        first.set()
        await turns()
        assert log == ["", "next"]
        rest.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with lane.held(1):
            pass

    asyncio.run(main())


def test_a_turn_that_comes_while_its_waiter_gives_up_is_handed_on():
    async def main():
        lane, log, first, rest = Lane(1), [], asyncio.Event(), asyncio.Event()
        tasks = [holding(lane, 1, log, name, rest if name else first) for name in ("", "gone", "next")]
        await turns()
        lane._give(1)  # its turn comes, and before it runs it is cancelled
        tasks[1].cancel()
        await turns()
        assert log == ["", "next"]
        first.set()
        rest.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
