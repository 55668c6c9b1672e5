"""The log's lines: their shape as JSON, and as people see them."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.telemetry import LogWriter, build_logger
from trio_fle.vote import MAX_LONG, MIN_LONG, PeerState


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(file: io.StringIO) -> list[str]:
    text = file.getvalue()
    assert not text or text.endswith("\n")
    # not splitlines(): a reader of JSON lines ends a line at a newline and nothing else
    return text.split("\n")[:-1]


def told(event: str = "member.state", *, level: str = "info", **fields: Any) -> dict[str, Any]:
    file = io.StringIO()
    getattr(build_logger(3, LogWriter(file), "json", "debug"), level)(event, **fields)
    [line] = lines(file)
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


def test_the_common_fields_come_first_and_then_the_event_s_own_in_their_order() -> None:
    line = told(to="LEADING", leader=3, a=1)
    assert list(line) == ["timestamp", "level", "event", "myid", "to", "leader", "a"]
    assert [line[name] for name in list(line)[1:]] == ["info", "member.state", 3, "LEADING", 3, 1]


def test_the_timestamp_is_rfc_3339_in_utc_with_microseconds() -> None:
    stamp = told()["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp)) < timedelta(minutes=1)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_the_method_s_name(level: str) -> None:
    assert told(level=level)["level"] == level


@pytest.mark.parametrize(
    ("level", "kept"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_lower_levels_are_left_out(level: str, kept: int) -> None:
    file = io.StringIO()
    log = build_logger(1, LogWriter(file), "json", level)
    for each in (log.debug, log.info, log.warning, log.error):
        each("member.state")
    assert len(lines(file)) == kept


@pytest.mark.parametrize(
    ("zxid", "written"),
    [
        (0, "0x0"),
        (0x1_0000_0002, "0x100000002"),
        (MAX_LONG, "0x7fffffffffffffff"),
        (-1, "0xffffffffffffffff"),
        (MIN_LONG, "0x8000000000000000"),
    ],
)
def test_a_zxid_is_a_hex_string(zxid: int, written: str) -> None:
    assert told(zxid=zxid)["zxid"] == written


def test_a_zxid_that_is_not_known_is_null() -> None:
    assert told(zxid=None)["zxid"] is None


@pytest.mark.parametrize("length", [0, 1, 4096])
def test_a_text_of_bounded_length_is_whole(length: int) -> None:
    assert told(reason="x" * length)["reason"] == "x" * length


@pytest.mark.parametrize("length", [4097, 100_000])
def test_a_longer_text_is_cut_and_says_so(length: int) -> None:
    assert told(reason="x" * length)["reason"] == "x" * 4096 + "..."


def test_an_exception_is_one_line_too() -> None:
    file = io.StringIO()
    log = build_logger(1, LogWriter(file), "json")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("member.stopped", reason="a\nb")
    [line] = lines(file)
    value = json.loads(line)
    assert value["level"] == "error"
    assert value["exception"].startswith("Traceback")
    assert value["exception"].endswith("ValueError: first\nsecond")
    assert value["reason"] == "a\nb"


def test_a_long_exception_is_cut() -> None:
    file = io.StringIO()
    log = build_logger(1, LogWriter(file), "json")
    try:
        raise ValueError("x" * 100_000)
    except ValueError as error:
        log.error("member.stopped", exc_info=error)
    [line] = lines(file)
    assert len(json.loads(line)["exception"]) == 4096 + 3


@pytest.mark.parametrize(
    "fields",
    [
        {f"x_{i}": "y" * 5000 for i in range(50)},
        {"x": ["y" * 100_000]},
        {"x": '"' * 100_000, "y": "\x01" * 4000},
    ],
)
def test_a_line_is_bounded_whatever_its_fields(fields: dict[str, Any]) -> None:
    line = told(reason="first", **fields)
    assert len(json.dumps(line)) <= 16 * 1024
    assert list(line) == ["timestamp", "level", "event", "myid", "truncated"]
    assert line["truncated"].startswith('{"reason": "first", "x')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Path("/zoo.cfg"), "/zoo.cfg"),
        (PeerState.LEADING, 2),
        ([1, 2], [1, 2]),
        ({"a": None}, {"a": None}),
        (True, True),
        (1.5, 1.5),
        ("\u00e9\u2028\x00\n", "\u00e9\u2028\x00\n"),
    ],
)
def test_a_field_is_json_whatever_its_type(value: object, written: object) -> None:
    assert told(value=value)["value"] == written


@given(st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.text() | st.integers() | st.none()))
def test_any_fields_are_one_line_of_json(fields: dict[str, Any]) -> None:
    line = told(**fields)
    assert {name: line[name] for name in fields} == fields


@given(st.text(max_size=30))
def test_a_text_of_the_network_can_not_begin_a_second_line(text: str) -> None:
    assert told(reason=text)["reason"] == text


def test_any_text_can_be_written_to_a_file_in_utf_8() -> None:
    raw = io.BytesIO()
    writer = LogWriter(io.TextIOWrapper(raw, encoding="utf-8"))
    build_logger(1, writer, "json").info("peer.rejected", reason="a \udcff b")
    assert writer.dropped == 0
    assert json.loads(raw.getvalue().decode("utf-8"))["event"] == "peer.rejected"


def test_two_members_of_one_process_do_not_mix() -> None:
    one, two = io.StringIO(), io.StringIO()
    first = build_logger(1, LogWriter(one), "json", "debug").bind(a=1)
    second = build_logger(2, LogWriter(two), "json", "error")
    first.debug("first")
    second.debug("nobody's")
    second.error("second")
    first.info("third")
    assert [(json.loads(line)["myid"], json.loads(line)["event"]) for line in lines(one)] == [
        (1, "first"),
        (1, "third"),
    ]
    assert [json.loads(line)["myid"] for line in lines(two)] == [2]
    assert "a" not in json.loads(lines(two)[0])


def test_a_bound_field_is_in_every_line_of_that_logger_only() -> None:
    file = io.StringIO()
    log = build_logger(1, LogWriter(file), "json")
    log.bind(peer=2).info("peer.connected")
    log.info("member.state")
    assert [json.loads(line).get("peer") for line in lines(file)] == [2, None]


@pytest.mark.parametrize(
    ("log_format", "file", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("console", io.StringIO, False),
    ],
)
def test_the_format_is_for_people_on_a_terminal_and_json_elsewhere(
    log_format: str, file: type[io.StringIO], is_json: bool
) -> None:
    written = file()
    build_logger(1, LogWriter(written), log_format).info("member.state", to="LEADING")
    assert written.getvalue().startswith("{") is is_json


def test_a_line_for_people_names_time_level_event_and_fields() -> None:
    file = io.StringIO()
    build_logger(3, LogWriter(file), "console").warning("member.state", to="LEADING", zxid=0x1_0000_0002)
    [line] = lines(file)
    assert "\x1b" not in line
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ", line)
    for part in ("[warning", "member.state", "myid=3", "to=LEADING", "zxid=0x100000002"):
        assert part in line


def test_a_line_for_people_is_coloured_on_a_terminal_only() -> None:
    terminal = Terminal()
    build_logger(1, LogWriter(terminal), "console").info("member.state")
    assert "\x1b[" in terminal.getvalue()


def test_a_value_that_can_t_be_written_costs_its_own_line_and_no_other() -> None:
    class Unwritable:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    line = told(leader=Unwritable(), epoch=1)
    assert list(line) == ["timestamp", "level", "event", "myid", "unwritable"]
    assert line["unwritable"] == "RuntimeError"
