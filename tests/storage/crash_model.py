"""What a disk may hold after a power loss, whatever was asked of it before.

``FaultyOs`` stands in for the module ``os`` in ``trio_fle.storage.files``: it does what it is asked, and
keeps beside it a disk that promises no more than POSIX does:

- content of a file that was not fsynced: any beginning of it, or that and zeros, or what was there before;
  of a part that was overwritten, its beginning or its end may be the old one, and all else stays;
- names that were made, changed or removed in a directory that was not fsynced: each of these changes
  may have reached the disk or not, independent of the others and of the content.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs


@attrs.define(eq=False)
class File:
    content: bytes
    possible: set[bytes]
    """What a power loss may leave of it."""

    def change(self, content: bytes) -> None:
        self.content = content
        size = len(content)
        cuts = [0, size, *(at for at in range(1, size) if any(content[at - 1 : at + 1]))]  # not amid zeros
        self.possible |= {content[:cut] for cut in cuts}
        self.possible |= {content[:cut] + bytes(size - cut) for cut in cuts}

    def overwrite(self, data: bytes, offset: int) -> None:
        """Change a part: its beginning or its end alone may reach the disk; what is around it stays."""
        before = {*self.possible, self.content}
        end = offset + len(data)
        self.content = self.content[:offset] + data + self.content[end:]
        cuts = [*range(len(data.rstrip(b"\0")) + 1), len(data)]
        for old in before:
            for cut in cuts:
                torn = data[:cut] + old[offset + cut : end], old[offset : offset + cut] + data[cut:]
                self.possible |= {old[:offset] + each + old[end:] for each in torn}

    def sync(self) -> None:
        self.possible = {self.content}

    def after_power_loss(self) -> Iterator[bytes]:
        yield from self.possible


@attrs.define(eq=False)
class Folder:
    now: dict[str, "File | Folder"] = attrs.field(factory=dict)
    on_disk: dict[str, "File | Folder"] = attrs.field(factory=dict)
    unsynced: list[dict[str, "File | Folder | None"]] = attrs.field(factory=list)
    """Changes of names, one after the other; a rename is one change of two names."""

    def change(self, changes: dict[str, "File | Folder | None"]) -> None:
        self.unsynced.append(changes)
        apply(self.now, changes)

    def sync(self) -> None:
        self.on_disk, self.unsynced = dict(self.now), []

    def after_power_loss(self) -> Iterator[dict[str, Any]]:
        for chosen in itertools.product([False, True], repeat=len(self.unsynced)):
            names = dict(self.on_disk)
            for changes in itertools.compress(self.unsynced, chosen):
                apply(names, changes)
            contents = [list(node.after_power_loss()) for node in names.values()]
            for combination in itertools.product(*contents):
                yield dict(zip(names, combination, strict=True))


def apply(names: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def scan(path: Path) -> File | Folder:
    """A file or a directory as it is now, durable."""
    if not path.is_dir():
        return File(path.read_bytes(), {path.read_bytes()})
    folder = Folder({each.name: scan(each) for each in path.iterdir()})
    folder.sync()
    return folder


def materialize(state: dict[str, Any], root: Path) -> Path:
    root.mkdir()
    for name, content in state.items():
        if isinstance(content, dict):
            materialize(content, root / name)
        else:
            (root / name).write_bytes(content)
    return root


@attrs.define(eq=False)
class FaultyOs:
    """The module ``os``, over a directory whose power may be lost after any call that changes something."""

    root: Path
    before: Callable[[str, int], None] = lambda _call, _number: None
    """Told each call and its number before it is done; may raise."""
    forgets: frozenset[str] = frozenset()
    """Calls that return and do nothing: a mutant's."""
    bytes_at_once: int = 1 << 30
    disk: Folder = attrs.field(init=False)
    calls: list[str] = attrs.field(factory=list, init=False)
    moments: list[list[dict[str, Any]]] = attrs.field(factory=list, init=False)
    """For each call, what a power loss right after it may leave; the first is from before all."""
    _opened: dict[int, File | Folder] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        disk = scan(self.root)
        assert isinstance(disk, Folder)
        self.disk = disk
        self._note()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self._begin("open")
        descriptor = os.open(path, flags, mode)
        folder, node = self._find(path)
        if node is None:
            node = File(b"", {b""})
            folder.change({path.name: node})
        if flags & os.O_TRUNC and isinstance(node, File):
            node.change(b"")
        self._opened[descriptor] = node
        self._note()
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        self._begin("write")
        written = os.write(descriptor, data[: self.bytes_at_once])
        file = self._opened[descriptor]
        assert isinstance(file, File)
        file.change(file.content + data[:written])
        self._note()
        return written

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        self._begin("pwrite")
        written = os.pwrite(descriptor, data[: self.bytes_at_once], offset)
        file = self._opened[descriptor]
        assert isinstance(file, File)
        file.overwrite(data[:written], offset)
        self._note()
        return written

    def fdatasync(self, descriptor: int) -> None:
        self._begin("fdatasync")
        if "fdatasync" not in self.forgets:
            self._opened[descriptor].sync()
        self._note()

    def fsync(self, descriptor: int) -> None:
        node = self._opened[descriptor]
        call = "fsync file" if isinstance(node, File) else "fsync directory"
        self._begin(call)
        if call not in self.forgets:
            node.sync()
        self._note()

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
        del self._opened[descriptor]
        self._begin("close")

    def rename(self, source: Path, target: Path) -> None:
        self._begin("rename")
        source.rename(target)
        folder, node = self._find(source)
        folder.change({source.name: None, target.name: node})
        self._note()

    def unlink(self, path: Path) -> None:
        self._begin("unlink")
        path.unlink()
        self._find(path)[0].change({path.name: None})
        self._note()

    def mkdir(self, path: Path) -> None:
        self._begin("mkdir")
        path.mkdir()
        self._find(path)[0].change({path.name: Folder()})
        self._note()

    def _begin(self, call: str) -> None:
        self.before(call, len(self.calls))
        self.calls.append(call)

    def _note(self) -> None:
        unique: dict[str, dict[str, Any]] = {}
        for state in self.disk.after_power_loss():
            unique.setdefault(repr(state), state)
        self.moments.append(list(unique.values()))

    def _find(self, path: Path) -> tuple[Folder, File | Folder | None]:
        """The directory that holds a path, and what it holds there."""
        folder, node = Folder(), self.disk
        for name in path.relative_to(self.root).parts:
            assert isinstance(node, Folder)
            folder, node = node, node.now.get(name)  # type: ignore[assignment]
        return folder, node
