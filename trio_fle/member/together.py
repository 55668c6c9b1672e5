"""Several things at a time: the first that ends, and all that went wrong."""

from collections.abc import Awaitable, Callable

import trio


def said(group: BaseExceptionGroup[BaseException]) -> str:
    """Return what the errors of a group say, however deep, each once."""

    def words(error: BaseException) -> list[str]:
        if isinstance(error, BaseExceptionGroup):
            return [each for inner in error.exceptions for each in words(inner)]
        return [str(error)]

    return "; ".join(dict.fromkeys(words(group)))


async def first_of(*watches: Callable[[], Awaitable[str | None]]) -> str:
    """Run all, end all with the first that ends, and return what it says."""
    said: list[str | None] = []

    async def run(watch: Callable[[], Awaitable[str | None]], scope: trio.CancelScope) -> None:
        said.append(await watch())
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for watch in watches:
            nursery.start_soon(run, watch, nursery.cancel_scope)
    return said[0] or ""
