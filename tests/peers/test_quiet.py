"""Limits on what strangers may cost."""

import attrs

from trio_fle.peers.quiet import Backoff, OncePerInterval, TokenBucket


@attrs.define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_key_passes_once_an_interval_and_brings_the_count_of_those_held_back() -> None:
    clock = Clock()
    noise = OncePerInterval(60, clock)
    assert [noise.admit("a"), noise.admit("a"), noise.admit("b"), noise.admit("a")] == [0, None, 0, None]
    clock.now = 60
    assert noise.admit("a") == 2
    assert noise.admit("a") is None


def test_a_burst_passes_before_a_key_is_held_back() -> None:
    clock = Clock()
    told = OncePerInterval(60, clock, burst=3)
    assert [told.admit("a") for _ in range(5)] == [0, 0, 0, None, None]
    clock.now = 60
    assert [told.admit("a") for _ in range(4)] == [2, 0, 0, None]


def test_no_more_keys_are_remembered_than_allowed() -> None:
    noise = OncePerInterval(60, Clock(), max_keys=10)
    for key in range(1000):
        noise.admit(key)
    assert len(noise._last) == 10


def test_tokens_come_back_with_time() -> None:
    clock = Clock()
    bucket = TokenBucket(burst=2, per_s=1, clock=clock)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now = 1
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now = 100
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_backoff_starts_at_once_and_doubles_to_its_limit() -> None:
    backoff = Backoff(0.1, 1)
    assert [backoff.next() for _ in range(6)] == [0, 0.1, 0.2, 0.4, 0.8, 1]
    backoff.max_s = 0.5
    assert [backoff.next() for _ in range(2)] == [0.5, 0.5], "from the next wait on"
    backoff.reset()
    assert backoff.next() == 0
