"""What holds for any bytes, any values, and any cut of the stream."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_fle.ensemble import HostPort
from trio_fle.errors import MalformedMessageError
from trio_fle.vote import MAX_LONG, MIN_LONG, PeerState, Vote, epoch_of
from trio_fle.wire import (
    MAX_FRAME_BYTES,
    FrameBuffer,
    Hello,
    Layout,
    Notification,
    Protocol,
    decode_hello,
    decode_notification,
    encode_frame,
    encode_hello,
    encode_notification,
    hello_size,
)

longs = st.integers(MIN_LONG, MAX_LONG)
ports = st.integers(0, 0xFFFF)
names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)
groups = st.lists(st.integers(0, 0xFFFF), min_size=8, max_size=8)
zones = st.one_of(st.just(""), st.from_regex(r"%[a-z0-9.]{1,15}", fullmatch=True))
ipv6 = st.builds(lambda parts, zone: ":".join(f"{part:x}" for part in parts) + zone, groups, zones)
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), ipv6)
told = st.lists(st.builds(HostPort, hosts, ports), min_size=1, max_size=8).map(tuple)
hellos = st.one_of(
    st.builds(Hello, st.integers(0, MAX_LONG), st.just(()), st.just(Protocol.LEGACY)),
    st.builds(Hello, longs, told.map(lambda each: each[:1]), st.just(Protocol.V1)),
    st.builds(Hello, longs, told, st.just(Protocol.V2)),
)
heads = st.sampled_from([Protocol.V1, Protocol.V2]).map(
    lambda protocol: protocol.to_bytes(8, "big", signed=True)
)
address_text = st.one_of(
    st.binary(max_size=40), st.text("0123456789:|[]%+-.ahx\N{SUPERSCRIPT TWO}", max_size=40).map(str.encode)
)
almost_hellos = st.builds(
    lambda head, sid, text, off: head + sid + (len(text) + off).to_bytes(4, "big", signed=True) + text,
    heads,
    st.binary(min_size=8, max_size=8),
    address_text,
    st.sampled_from([0, 0, 0, 0, 1, -1]),
)
votes = st.builds(Vote, longs, longs, longs)
notifications = st.builds(
    Notification, st.sampled_from(PeerState), votes, longs, st.integers(2, 2**31 - 1), st.binary(max_size=200)
)
bodies = st.lists(st.binary(min_size=1, max_size=60), max_size=8)


@given(st.one_of(st.binary(max_size=100), almost_hellos))
def test_any_bytes_are_a_handshake_or_malformed(data: bytes) -> None:
    try:
        hello = decode_hello(data)
    except MalformedMessageError:
        return
    assert MIN_LONG <= hello.sid <= MAX_LONG
    assert all(0 <= address.port <= 0xFFFF and address.host for address in hello.addresses)
    assert bool(hello.addresses) == (hello.protocol is not Protocol.LEGACY)


@given(st.one_of(st.binary(max_size=100), almost_hellos))
def test_any_prefix_has_a_bounded_size_or_is_malformed(data: bytes) -> None:
    try:
        size = hello_size(data)
    except MalformedMessageError:
        return
    assert 8 <= size <= 20 + 2048


@pytest.mark.parametrize(
    "text", [b"|", b"||", b"|||", b":", b":1", b"[]:1", b"[", b"]", b"[:1", b"a:\xb2", b"a:1 ", b" :"]
)
def test_an_address_text_of_little_is_malformed_or_an_address(text: bytes) -> None:
    data = Protocol.V1.to_bytes(8, "big", signed=True) + bytes(8) + len(text).to_bytes(4, "big") + text
    try:
        hello = decode_hello(data)
    except MalformedMessageError:
        return
    assert all(address.host for address in hello.addresses)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_notification_or_malformed(body: bytes) -> None:
    try:
        notification = decode_notification(body)
    except MalformedMessageError:
        return
    assert len(body) == 28 or len(body) >= 40
    assert (notification.config is not None) == (notification.version > 1)


@given(
    st.binary(min_size=36, max_size=36),
    st.integers(-2, 4),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=50),
)
def test_any_configuration_length_is_believed_only_where_it_fits(
    head: bytes, version: int, length: int, rest: bytes
) -> None:
    body = head + version.to_bytes(4, "big", signed=True) + length.to_bytes(4, "big", signed=True) + rest
    if version > 1 and not 0 <= length <= len(rest):
        with pytest.raises(MalformedMessageError):
            decode_notification(body)
    else:
        assert decode_notification(body).config == (rest[:length] if version > 1 else None)


@pytest.mark.parametrize("size", range(44))
def test_the_length_tells_the_layout(size: int) -> None:
    body = bytes(size)
    if size in (28, 40, 41, 42, 43):
        assert decode_notification(body).version == 0
    else:
        with pytest.raises(MalformedMessageError):
            decode_notification(body)


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(1, 60))
def test_any_stream_gives_bodies_or_is_malformed(chunks: list[bytes], max_bytes: int) -> None:
    frames = FrameBuffer(max_bytes)
    for chunk in chunks:
        try:
            got = list(frames.feed(chunk))
        except MalformedMessageError:
            return
        assert all(0 < len(body) <= max_bytes for body in got)


@given(hellos)
def test_a_handshake_is_read_as_it_was_written(hello: Hello) -> None:
    data = encode_hello(hello)
    assert hello_size(data) == len(data)
    assert decode_hello(data) == hello


@given(longs, told)
def test_a_v1_handshake_tells_the_first_address_only(sid: int, addresses: tuple[HostPort, ...]) -> None:
    assert decode_hello(encode_hello(Hello(sid, addresses))).addresses == addresses[:1]


@pytest.mark.parametrize(
    ("host", "written", "read"),
    [
        ("::1", b"[0:0:0:0:0:0:0:1]:3888", "0:0:0:0:0:0:0:1"),
        ("fe80::1%eth0", b"[fe80:0:0:0:0:0:0:1%eth0]:3888", "fe80:0:0:0:0:0:0:1%eth0"),
        ("2001:DB8::10", b"[2001:db8:0:0:0:0:0:10]:3888", "2001:db8:0:0:0:0:0:10"),
        ("0:0:0:0:0:0:0:1", b"[0:0:0:0:0:0:0:1]:3888", "0:0:0:0:0:0:0:1"),
        ("zk.example", b"zk.example:3888", "zk.example"),
        ("10.0.0.1", b"10.0.0.1:3888", "10.0.0.1"),
    ],
)
def test_an_address_is_written_as_a_java_server_writes_it(host: str, written: bytes, read: str) -> None:
    data = encode_hello(Hello(1, (HostPort(host, 3888),)))
    assert data[20:] == written
    assert decode_hello(data).addresses == (HostPort(read, 3888),)


@given(
    st.one_of(st.integers(max_value=-1), st.integers(min_value=0x10000)), st.sampled_from(list(Protocol)[1:])
)
@example(70000, Protocol.V1)
@example(-1, Protocol.V2)
def test_a_port_out_of_range_is_never_written(port: int, protocol: Protocol) -> None:
    with pytest.raises(ValueError, match="port out of range"):
        encode_hello(Hello(1, (HostPort("h", port),), protocol))


def test_no_second_address_with_a_port_out_of_range_is_written() -> None:
    with pytest.raises(ValueError, match="port out of range"):
        encode_hello(Hello(1, (HostPort("h", 1), HostPort("h", 70000)), Protocol.V2))


@pytest.mark.parametrize(
    ("hello", "message"),
    [
        (Hello(1), "take 0 bytes"),
        (Hello(1, (HostPort("h" * 2047, 1),)), "take 2049 bytes"),
        (Hello(-1, (), Protocol.LEGACY), "no legacy handshake"),
    ],
)
def test_a_handshake_that_nobody_could_read_is_not_written(hello: Hello, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_hello(hello)


def test_the_longest_address_text_is_read_and_written() -> None:
    hello = Hello(1, (HostPort("h" * 2046, 1),))
    assert decode_hello(encode_hello(hello)) == hello


@given(notifications)
def test_a_notification_is_read_as_it_was_written(notification: Notification) -> None:
    if len(encoded := encode_notification(notification)) != 40:
        assert decode_notification(encoded) == notification


@given(notifications)
def test_a_notification_of_40_bytes_has_no_configuration_and_version_0(notification: Notification) -> None:
    body = encode_notification(notification, Layout.VERSIONED)
    expected = Notification(notification.state, notification.vote, notification.round, version=0)
    assert (len(body), decode_notification(body)) == (40, expected)


@given(notifications)
def test_a_notification_of_28_bytes_has_no_epoch_of_its_own(notification: Notification) -> None:
    body = encode_notification(notification, Layout.ZXID_ONLY)
    read = decode_notification(body)
    vote = Vote(notification.vote.leader, notification.vote.zxid, epoch_of(notification.vote.zxid))
    assert (len(body), read) == (28, Notification(notification.state, vote, notification.round, version=0))


@given(votes)
def test_a_notification_without_a_state_is_not_written(vote: Vote) -> None:
    with pytest.raises(ValueError, match="without a state"):
        encode_notification(Notification(None, vote, 1))


@given(bodies, st.data())
def test_frames_do_not_depend_on_how_the_stream_is_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12), label="cuts"))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    frames = FrameBuffer()
    assert [body for piece in pieces for body in frames.feed(piece)] == sent


@given(bodies)
def test_frames_arrive_byte_by_byte_as_soon_as_they_are_whole(sent: list[bytes]) -> None:
    frames = FrameBuffer()
    for body in sent:
        frame = encode_frame(body)
        for byte in frame[:-1]:
            assert list(frames.feed(bytes([byte]))) == []
        assert list(frames.feed(bytearray(frame[-1:]))) == [body]


def test_a_reader_that_stops_in_the_middle_goes_on_with_the_next_frame() -> None:
    frames = FrameBuffer()
    stream = frames.feed(b"".join(map(encode_frame, [b"one", b"two", b"three"])))
    assert next(stream) == b"one"
    stream.close()
    assert list(frames.feed(b"")) == [b"two", b"three"]


@pytest.mark.parametrize("size", [0, MAX_FRAME_BYTES + 1])
def test_a_frame_that_no_server_would_accept_is_not_written(size: int) -> None:
    with pytest.raises(ValueError, match="a frame holds"):
        encode_frame(bytes(size))


@pytest.mark.parametrize("size", [1, MAX_FRAME_BYTES])
def test_the_shortest_and_the_longest_frame_are_read(size: int) -> None:
    assert list(FrameBuffer().feed(encode_frame(bytes(size)))) == [bytes(size)]


@given(st.one_of(st.integers(-(2**31), 0), st.integers(MAX_FRAME_BYTES + 1, 2**31 - 1)))
def test_a_frame_length_is_refused_without_waiting_for_its_body(length: int) -> None:
    with pytest.raises(MalformedMessageError, match=f"frame length {length} "):
        list(FrameBuffer().feed(length.to_bytes(4, "big", signed=True)))
