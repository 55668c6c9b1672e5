"""Configuration texts of notifications: what is of use, and what is dropped without harm."""

import attrs
import pytest

from trio_fle.member.config_texts import MAX_TEXT_BYTES, ConfigTexts
from trio_fle.sim.members.ensemble import ensemble_of


@attrs.define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


OURS = ensemble_of({1: "participant", 2: "participant", 3: "observer"})


@pytest.mark.parametrize(
    "text",
    [b"version=zz", b"server.x=h:1:2", b"server.1=h:70000:2", b"server.1=\\uzzzz", b"foo=bar",
     b"version=9", "server.1=h\u0135:1:2".encode(), "server.1=h:1:2;a\u2028:3".encode(),
     b"server.9=foo", b"server.1=h:1:2:observer", b"\xff\xfe", b"server.1=[::1:1:2"],
)  # fmt: skip
def test_a_text_that_ends_a_java_receiver_or_is_nonsense_is_dropped_and_counted(text: bytes) -> None:
    texts = ConfigTexts(OURS, Clock())
    assert texts.parse(2, text) is None
    assert texts.parse(2, text) is None
    assert texts.unusable >= 1
    assert len(texts._known) <= 1, "read once at most"


def test_the_own_text_is_not_parsed_again_and_another_one_is() -> None:
    texts = ConfigTexts(OURS, Clock())
    assert texts.parse(2, OURS.text.encode()) is OURS
    other = texts.parse(2, OURS.text.replace("version=0", "version=100000000").encode())
    assert other is not None
    assert other.version == 1 << 32
    assert texts.parse(2, None) is None


def test_texts_of_strangers_and_endless_ones_are_not_looked_at() -> None:
    texts = ConfigTexts(OURS, Clock())
    assert texts.parse(99, b"version=1") is None
    assert texts.unusable == 0
    assert texts.parse(1, b"#" * (MAX_TEXT_BYTES + 1)) is None
    assert texts.unusable == 1


def test_only_the_last_few_texts_are_remembered() -> None:
    texts = ConfigTexts(OURS, clock := Clock())
    for version in range(1000):
        clock.now += 1
        assert texts.parse(1, text_of(version)) is not None
    assert len(texts._known) == 16


def test_new_texts_are_read_at_a_bounded_rate() -> None:
    texts = ConfigTexts(OURS, clock := Clock())
    read = [texts.parse(1, text_of(version)) is not None for version in range(100)]
    assert read == [True] * 16 + [False] * 84
    assert texts.parse(1, text_of(3)) is not None, "known ones cost nothing"
    clock.now += 1
    assert [texts.parse(1, text_of(version)) is not None for version in (200, 201)] == [True, False]


def test_a_text_of_continued_lines_holds_up_nobody() -> None:
    """Its reader would take 13 s over it."""
    texts = ConfigTexts(OURS, Clock())
    assert texts.parse(1, b"a\\\n" * 20_000) is None
    assert texts.unusable == 1
    assert not texts._known, "not even read"


def text_of(version: int) -> bytes:
    return f"server.1=h:1:2\nversion={version:x}".encode()


def test_who_has_an_oracle_reads_texts_of_others_as_if_they_had_it_too() -> None:
    """The text does not tell: else every server would seem to have another configuration."""
    ours = ensemble_of({1: "participant", 2: "participant"}, oracle=True)
    other = ConfigTexts(ours, Clock()).parse(2, ours.text.replace("version=0", "version=1").encode())
    assert other is not None
    assert other.verifier == ours.verifier


def test_servers_of_a_pending_configuration_are_listened_to() -> None:
    texts = ConfigTexts(OURS, Clock())
    assert texts.parse(9, text_of(7)) is None
    texts.know(ensemble_of({1: "participant", 9: "participant"}))
    assert texts.parse(9, text_of(7)) is not None
