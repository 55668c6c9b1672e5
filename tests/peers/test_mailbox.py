"""Queues with a bound: what goes at the bound, and what never does."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.peers.mailbox import Inbox, Outbox


async def test_an_outbox_holds_the_newest_frame_only() -> None:
    outbox = Outbox()
    assert outbox.put(b"stale")
    assert not outbox.put(b"fresh")
    assert outbox.replaced == 1
    assert await outbox.get() == b"fresh"


async def test_a_new_connection_repeats_the_last_frame_unless_a_newer_one_waits() -> None:
    """ZOOKEEPER-481."""
    outbox = Outbox()
    assert outbox.first() is None
    outbox.put(b"one")
    assert outbox.first() is None, "it waits, and will be sent"
    await outbox.get()
    assert outbox.first() == b"one"
    outbox.put(b"two")
    assert outbox.first() is None


async def test_a_greeting_stands_in_for_the_last_frame_until_something_newer_is_queued() -> None:
    outbox = Outbox()
    outbox.put(b"vote")
    await outbox.get()
    outbox.greet_with(b"settled")
    assert outbox.first() == b"settled"
    outbox.put(b"vote again")
    await outbox.get()
    assert outbox.first() == b"vote again"


async def test_a_greeting_goes_to_a_new_connection_instead_of_what_waited_for_the_old_one() -> None:
    outbox = Outbox()
    outbox.put(b"vote")
    outbox.greet_with(b"settled")
    assert await outbox.get() == b"vote", "to the connection that lives"
    outbox.put(b"vote again")
    outbox.greet_with(b"settled")
    assert outbox.first() == b"settled"
    assert outbox.first() == b"settled"


async def test_a_member_that_has_left_its_role_greets_with_nothing_until_it_says_something() -> None:
    outbox = Outbox()
    outbox.put(b"vote")
    await outbox.get()
    outbox.greet_with(b"leading")
    outbox.put(b"leading")
    outbox.greet_with(None)
    assert outbox.first() is None
    outbox.put(b"looking")
    assert await outbox.get() == b"looking"


async def test_getting_waits_until_something_is_put(autojump_clock: MockClock) -> None:
    """TestCircularBlockingQueue."""
    outbox, inbox = Outbox(), Inbox[str](2)
    got: list[object] = []
    async with trio.open_nursery() as nursery:

        async def get_both() -> None:
            got.append(await outbox.get())
            await inbox.wait()
            got.append(inbox.get_nowait())

        nursery.start_soon(get_both)
        await wait_all_tasks_blocked()
        assert got == []
        outbox.put(b"frame")
        await wait_all_tasks_blocked()
        inbox.put(1, "item")
    assert got == [b"frame", "item"]


async def test_who_floods_an_inbox_loses_its_own_oldest_items_only() -> None:
    inbox = Inbox[int](3)
    inbox.put(2, 20)
    assert [inbox.put(1, number) for number in range(10)] == [True] * 3 + [False] * 7
    inbox.put(3, 30)
    assert [inbox.get_nowait() for _ in range(6)] == [20, 7, 30, 8, 9, None], "and waits for its turn"


async def test_of_strangers_little_is_kept() -> None:
    inbox = Inbox[int](100, lambda sid: sid < 10)
    for number in range(5):
        inbox.put(77, number)
    assert [inbox.get_nowait() for _ in range(3)] == [3, 4, None]


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=60), st.integers(1, 5))
def test_an_inbox_keeps_the_newest_of_each_in_their_order(
    story: list[tuple[int, bool]], capacity: int
) -> None:
    inbox = Inbox[tuple[int, int]](capacity)
    model: dict[int, list[int]] = {}
    for number, (peer, take) in enumerate(story):
        if take and (item := inbox.get_nowait()) is not None:
            assert model[item[0]].pop(0) == item[1]
        else:
            inbox.put(peer, (peer, number))
            model.setdefault(peer, []).append(number)
            model[peer] = model[peer][-capacity:]
    while (item := inbox.get_nowait()) is not None:
        assert model[item[0]].pop(0) == item[1]
    assert not any(model.values())
