"""Configuration texts of notifications: what is of use, and what is dropped without harm."""

import pytest
from members import ensemble_of

from trio_fle.member.config_texts import MAX_TEXT_BYTES, ConfigTexts

OURS = ensemble_of({1: "participant", 2: "participant", 3: "observer"})


@pytest.mark.parametrize(
    "text",
    [b"version=zz", b"server.x=h:1:2", b"server.1=h:70000:2", b"server.1=\\uzzzz", b"foo=bar",
     b"server.9=foo", b"server.1=h:1:2:observer", b"\xff\xfe", b"server.1=[::1:1:2"],
)  # fmt: skip
def test_a_text_that_ends_a_java_receiver_or_is_nonsense_is_dropped_and_counted(text: bytes) -> None:
    texts = ConfigTexts(OURS)
    assert texts.parse(2, text) is None
    assert texts.parse(2, text) is None
    assert texts.unusable == 1, "parsed once"


def test_the_own_text_is_not_parsed_again_and_another_one_is() -> None:
    texts = ConfigTexts(OURS)
    assert texts.parse(2, OURS.text.encode()) is OURS
    other = texts.parse(2, OURS.text.replace("version=0", "version=100000000").encode())
    assert other is not None
    assert other.version == 1 << 32
    assert texts.parse(2, None) is None


def test_texts_of_strangers_and_endless_ones_are_not_looked_at() -> None:
    texts = ConfigTexts(OURS)
    assert texts.parse(99, b"version=1") is None
    assert texts.unusable == 0
    assert texts.parse(1, b"#" * (MAX_TEXT_BYTES + 1)) is None
    assert texts.unusable == 1


def test_only_the_last_few_texts_are_remembered() -> None:
    texts = ConfigTexts(OURS)
    for version in range(1000):
        texts.parse(1, f"server.1=h:1:2\nversion={version:x}".encode())
    assert len(texts._known) == 16
