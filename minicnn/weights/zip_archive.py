"""Zip files that are believed only where nothing is ambiguous: torch's, NumPy's and Keras' containers.

A zip file says everything twice, before each member and in a directory at its end. Readers that trust one or the other
can be shown different contents; so here both must agree, members must not overlap, and no name may stand twice.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from minicnn.weights.source import MOST_BYTES, MOST_RATIO, File

LOCAL = struct.Struct("<4s5H3I2H")  # PKWARE, APPNOTE.TXT 4.3.7: local file header
ENCRYPTED = 0x1
SLACK = 1 << 20  # small files may pack well: a text of configuration does


class Archive:
    """The members of a zip file.

    Raises
    ------
    LoadError
        If the file is truncated, encrypted, ambiguous (see above), or would unpack to far more than it is.

    Attributes
    ----------
    members : dict of name to zipfile.ZipInfo
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self._sound: set[str] = set()
        try:
            infos = zipfile.ZipFile(_Stream(file.data)).infolist()
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, OverflowError, NotImplementedError) as error:
            raise file.error(f"a truncated or damaged zip file of {len(file.data):,} bytes: {error}") from None
        self._starts = {info.filename: self._start(info) for info in infos}
        self.members = {info.filename: info for info in infos}
        if len(self.members) < len(infos):
            names = [info.filename for info in infos]
            twice = next(name for name in names if names.count(name) > 1)
            raise file.error(f"a zip file with two members named {twice!r}")
        self._check_sizes(infos)

    def _start(self, info: zipfile.ZipInfo) -> int:
        """Return where a member's bytes start, from the header before it, which must say what the directory says."""
        name = info.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name or "\0" in name:
            raise self.file.error(f"a zip file with the member {name!r}, a name that leads out of it")
        if info.flag_bits & ENCRYPTED:
            raise self.file.error(f"a zip file whose member {name!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.file.error(
                f"a zip file whose member {name!r} is packed in an unknown way ({info.compress_type})"
            )
        header = self.file.part(info.header_offset, info.header_offset + LOCAL.size, f"the zip member {name!r}")
        magic, _, flags, method, *_, name_size, extra_size = LOCAL.unpack(header)
        start = info.header_offset + LOCAL.size
        said = bytes(self.file.part(start, start + name_size, f"the zip member {name!r}"))
        if magic != b"PK\3\4" or method != info.compress_type or flags & ENCRYPTED or said != info.orig_filename.encode(
            "utf-8" if flags & 0x800 else "cp437", "replace"
        ):  # fmt: skip
            raise self.file.error(f"a zip file whose directory and member {name!r} disagree")
        data_start: int = start + name_size + extra_size
        return data_start

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        end = 0
        if infos and min(info.header_offset for info in infos) > 0:
            raise self.file.error("a zip file with something else before its first member")
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise self.file.error(f"a zip file whose members overlap, at {info.filename!r}")
            end = self._starts[info.filename] + info.compress_size
            self.file.part(self._starts[info.filename], end, f"the zip member {info.filename!r}")
            if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
                raise self.file.error(f"a zip file whose member {info.filename!r} has two sizes")
            if info.file_size > MOST_RATIO * info.compress_size + SLACK:
                raise self.file.error(
                    f"a zip bomb: member {info.filename!r} has {info.compress_size:,} bytes, "
                    f"which would become {info.file_size:,}"
                )
        total = sum(info.file_size for info in infos)
        if total > min(MOST_BYTES, MOST_RATIO * len(self.file.data) + SLACK):
            raise self.file.error(f"a zip bomb: {len(self.file.data):,} bytes would become {total:,}")

    def start_of(self, name: str, most: int) -> memoryview:
        """Return at most so many bytes of a member from its start; its checksum is not looked at."""
        start, info = self._starts[name], self.members[name]
        data = self.file.data[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_STORED:
            return data[:most]
        try:
            return memoryview(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most))
        except zlib.error as error:
            raise self.file.error(f"zip member {name!r} is damaged: {error}") from None

    def offset(self, name: str) -> int:
        """Return where in the file a member's bytes are; -1 if they are packed."""
        return self._starts[name] if self.members[name].compress_type == zipfile.ZIP_STORED else -1

    def read(self, name: str) -> memoryview:
        """Return a member's bytes, unpacked if they are packed, once its checksum is found to be right."""
        info = self.members[name]
        data = self.start_of(name, info.file_size + 1)
        if len(data) != info.file_size:
            raise self.file.error(f"zip member {name!r} is damaged: {info.file_size:,} bytes expected")
        # 0 is what torch.save writes where it was told to leave checksums out.
        if info.CRC != 0 and name not in self._sound and zlib.crc32(data) != info.CRC:
            raise self.file.error(f"zip member {name!r} is damaged: its checksum (CRC-32) is wrong")
        self._sound.add(name)
        return data


class _Stream(io.RawIOBase):
    """Bytes of a memory map as the file that ``zipfile`` wants, without a copy of them all."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: len(self.data)}[whence]
        if base + offset < 0:
            raise OSError("a place before the start of the file")
        self.at = base + offset
        return self.at

    def read(self, size: int = -1) -> bytes:
        stop = len(self.data) if size is None or size < 0 else self.at + size
        read = bytes(self.data[self.at : stop])
        self.at += len(read)
        return read
