"""Bytes of the election port to values and back; every length is bounded before it is believed."""

from trio_fle.wire.frames import MAX_FRAME_BYTES, FrameBuffer, encode_frame
from trio_fle.wire.hello import Hello, Protocol, decode_hello, encode_hello, hello_size
from trio_fle.wire.notification import (
    Acceptance,
    Layout,
    Notification,
    Offer,
    decode_notification,
    encode_notification,
)

__all__ = [
    "MAX_FRAME_BYTES",
    "Acceptance",
    "FrameBuffer",
    "Hello",
    "Layout",
    "Notification",
    "Offer",
    "Protocol",
    "decode_hello",
    "decode_notification",
    "encode_frame",
    "encode_hello",
    "encode_notification",
    "hello_size",
]
