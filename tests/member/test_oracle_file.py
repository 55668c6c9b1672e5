"""The file of an oracle: its first byte, read in a thread."""

import os
from pathlib import Path

import pytest
import trio

from trio_fle.member.oracle import OracleFile


@pytest.mark.parametrize(
    ("content", "first"),
    [(b"1", b"1"), (b"1\n", b"1"), (b"0", b"0"), (b" 1", b" "), (b"", b""), (b"yes", b"y")],
)
async def test_its_first_byte_is_what_it_says(content: bytes, first: bytes, tmp_path: Path) -> None:
    path = tmp_path / "oracle"
    path.write_bytes(content)
    assert await OracleFile(path).read() == first


async def test_it_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "oracle"
    file = OracleFile(path)
    with pytest.raises(FileNotFoundError):
        await file.read()
    path.write_bytes(b"1")
    assert await file.read() == b"1"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        await file.read()


@pytest.mark.parametrize("name", [".", "a\0b", "x" * 300])
async def test_what_is_no_file_can_not_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."):
        await OracleFile(tmp_path / name).read()


async def test_a_file_that_hangs_keeps_one_thread_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "oracle"
    os.mkfifo(path)
    file = OracleFile(path)
    for _ in range(3):
        with trio.move_on_after(0.02) as patience:
            await file.read()
        assert patience.cancelled_caught
    assert file._limiter.borrowed_tokens == 1
    with path.open("wb") as writer:  # whoever hangs goes on
        writer.write(b"1")
    with trio.fail_after(5):
        while file._limiter.borrowed_tokens:  # noqa: ASYNC110 (a thread tells nobody)
            await trio.sleep(0.001)
