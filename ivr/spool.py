"""Recordings: out of Asterisk's spool into our own folder, and never lost on the way.

Rules this module keeps:

- Asterisk writes into the spool as its own user. Finished recordings leave it at once: joined
  from their slices, as our own file with a random name and mode 0600, in a folder outside any
  web root. Only then do the slices go.
- What is left over becomes a message (`ivr.intake`).
- It may be killed between any two steps and started again: the same recording ends up in the
  same file. The row in `recordings` names the file before the file is made, and is filled in
  after.
- A recording that is cut off, empty or unreadable is noted as such; its bytes are kept.
- Only plain files with plain names are touched; links are left where they are.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import select, update

from ivr import sound
from ivr.store import Recording, Store, write_rows
from ivr.tables import recordings

LARGEST = 50_000_000
"""Bytes; no recording of ours is that long."""

HEADER = 44
"""Bytes of a wav's header as Asterisk writes it."""

SLICE = re.compile(r"([0-9a-f]{32})-\d{2,3}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

log = structlog.get_logger("spool")


class Spool:
    """The spool of one Asterisk and the recordings folder of the service.

    `utc` tells the time. `between` is called between any two steps, for tests that stop there.
    """

    def __init__(
        self,
        store: Store,
        *,
        spool: Path,
        folder: Path,
        utc: Callable[[], datetime],
        between: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.store, self._spool, self._folder = store, spool, folder
        self.utc, self.between = utc, between

    def path(self, reference: str) -> Path:
        """The file of a recording. Raises ValueError for a reference that is none of ours."""
        if not re.fullmatch(r"[0-9a-f]{32}\.(wav|bin)", reference):
            raise ValueError(f"'{reference}' is no recording")
        return self._folder / reference

    # ---- one recording

    def take(self, slices: Sequence[str], *, call_id: str | None, what: str) -> Recording:
        """Move one finished recording out of the spool; `slices` are its names there, in order,
        without the suffix. Its `reference` is None if not one of them exists.

        Append `Recording(name, what, utc, call_id)` to the journal when a recording begins: if we
        die in the middle, the message still knows its call.

        Raises OSError if the disk refuses, StorageFailed; the slices are then still there.
        """
        row, paths = self.secure(slices, call_id, what)
        self.clear(paths)
        return row

    def secure(
        self, slices: Sequence[str], call_id: str | None, what: str
    ) -> tuple[Recording, list[Path]]:
        """The recording as a file of our own, and the files in the spool that may go now."""
        if not slices:
            return Recording("", what, self.utc(), call_id, quality="empty"), []
        match = SLICE.fullmatch(slices[0])
        key = match[1] if match else slices[0]
        row = self.row(key) or Recording(key, what, self.utc(), call_id)
        paths = [path for name in slices if (path := self.file(name)) is not None]
        if row.reference is None:
            if not paths:
                return replace(row, quality="empty"), []
            row = self._name(row)
            self.between("named")
        if not row.quality and paths:
            row = self._make(row, paths)
            self.between("made")
            self._fill(row)
            self.between("filled")
        return row, paths

    def clear(self, paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
            self.between("cleared")

    def _make(self, row: Recording, paths: list[Path]) -> Recording:
        """The file of a recording, whole and on disk, and what it is worth."""
        assert row.reference is not None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        to = self._folder / row.reference
        beside = to.with_name(f".{secrets.token_hex(8)}.wav")
        try:
            cut = not all(_whole(path) for path in paths)
            try:
                joined = sound.join(paths, beside)
            except OSError:
                to = to.with_suffix(".bin")
                _copy(paths, beside)
                row = replace(row, reference=to.name, quality="broken")
            else:
                empty = not len(joined.samples)
                quality = "empty" if empty else "cut" if cut else sound.quality(joined)
                row = replace(row, seconds=round(joined.seconds, 2), quality=quality)
            if not all(path.exists() for path in paths):
                # another process did the same and is done; what we have may lack a slice
                return self.row(row.key) or row
            _to_disk(beside)
            beside.replace(to)
            _to_disk(self._folder)
        finally:
            beside.unlink(missing_ok=True)
        return row

    def file(self, name: str) -> Path | None:
        """A plain file of the spool by its name; None if there is none that we would touch."""
        if not NAME.fullmatch(name):
            return None
        path = self._spool / f"{name}.wav"
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            log.warning("this is no recording, and is left alone", name=name)
            return None
        return path

    def row(self, key: str) -> Recording | None:
        with self.store.read() as connection:
            query = select(recordings).where(recordings.c.key == key)
            row = connection.execute(query).one_or_none()
        return None if row is None else Recording(**row._mapping)

    def _name(self, row: Recording) -> Recording:
        """Choose the file of a recording, once, whoever else does the same at the same time."""
        table = recordings.c
        with self.store.write() as connection:
            write_rows(connection, Recording, [row])
            connection.execute(
                update(recordings)
                .where(table.key == row.key, table.reference.is_(None))
                .values(reference=f"{secrets.token_hex(16)}.wav")
            )
            found = connection.execute(select(recordings).where(table.key == row.key)).one()
        return Recording(**found._mapping)

    def _fill(self, row: Recording) -> None:
        with self.store.write() as connection:
            connection.execute(
                update(recordings)
                .where(recordings.c.key == row.key)
                .values(reference=row.reference, seconds=row.seconds, quality=row.quality)
            )

    # ---- what is left over

    def absent(self) -> Path | None:
        """The spool's folder, if there is none. Raises OSError."""
        return None if self._spool.is_dir() else self._spool

    def left(self) -> dict[str, list[str]]:
        """The names in the spool, slices of one recording together and in order."""
        groups: dict[str, list[str]] = {}
        for path in sorted(self._spool.glob("*.wav")):
            if self.file(path.stem) is not None:
                match = SLICE.fullmatch(path.stem)
                groups.setdefault(match[1] if match else path.stem, []).append(path.stem)
        return groups

    def age(self, names: list[str]) -> timedelta:
        paths = [path for name in names if (path := self.file(name)) is not None]
        newest = max((path.stat().st_mtime for path in paths), default=0.0)
        return self.utc() - datetime.fromtimestamp(newest, UTC)

    # ---- erasing

    def erase(self, row: Recording, *, certain: bool = True) -> bool:
        """Delete a recording's file, for good, and then say so in its row; whether it may go is
        decided before (`ivr.erasing`). False if the row said so already.

        What is not there is gone only if it is `certain` that this folder, which must be there, is
        the one that was recorded into: that of the service. Raises OSError, StorageFailed; calling
        it again goes on where it stopped."""
        if row.reference is not None:
            path = self.path(row.reference)
            # its name before it was known as broken
            found = [one for one in (path, path.with_suffix(".bin")) if os.path.lexists(one)]
            if not found and not (certain and self._folder.is_dir()):
                now = self.row(row.key)
                if now is not None and now.erased_at is not None:
                    return False  # the service was faster
                what = "there is no such file: is SANSHENG_RECORDINGS what the service has?"
                raise FileNotFoundError(errno.ENOENT, what, str(path))
            for one in found:
                one.unlink(missing_ok=True)
            _to_disk(self._folder)
            self.between("erased")
        with self.store.write() as connection:
            changed = connection.execute(
                update(recordings)
                .where(recordings.c.key == row.key, recordings.c.erased_at.is_(None))
                .values(erased_at=self.utc())
            )
        return changed.rowcount == 1


def _whole(path: Path) -> bool:
    """Whether a wav's header agrees with its size; Asterisk writes the length at the very end.

    One with nothing in it is whole: a key pressed within the first 200 ms takes them away.
    """
    with path.open("rb") as file:
        head = file.read(HEADER)
    said = int.from_bytes(head[40:HEADER], "little")
    return head[36:40] != b"data" or 0 <= said == path.stat().st_size - HEADER


def _copy(paths: list[Path], to: Path) -> None:
    """The bytes of files that are no sound, as they are."""
    beside = to.with_name(f".{to.name}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        for path in paths:
            with path.open("rb") as source:
                shutil.copyfileobj(source, out)
    beside.replace(to)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
