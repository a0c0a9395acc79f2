"""The token store: a genome as a memory map in the cache folder, one byte per base, keyed by the digest of its FASTA."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.lib.stride_tricks import sliding_window_view

from findna_kit import alphabet
from findna_kit.atomic import sync
from findna_kit.data.cache_folder import CACHE_VARIABLE, cache_folder
from findna_kit.data.genome import fasta
from findna_kit.data.genome.intervals import merged
from findna_kit.errors import GenomeError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from findna_kit.data.genome.intervals import Runs

log = logging.getLogger(__name__)

_LAYOUT = "genomes-1"
"""Folder in the cache. A change of the file format changes this name, so that versions of the kit do not read each other's."""
_MAX_DIGESTS = 1000
"""Digests that are remembered; the oldest are dropped."""

_SETTLED = 2.0
"""Seconds since the last change after which a digest is remembered: a file may change twice within one tick of its clock."""

_CHUNK = 1 << 24


@dataclass(frozen=True)
class StoredContig:
    """One sequence of a genome; `offset` is the position of its first base in the memory map."""

    name: str
    length: int
    offset: int


@dataclass(frozen=True)
class TokenStore:
    """A genome as a read-only memory map. A pickled store holds the path, not the bases, and maps the file again.

    digest: sha256 of the FASTA file. source: that FASTA. path: the file of the memory map.
    other_letters: the number of letters other than ACGTN (either case) in the FASTA; U was read as T, all others as N.
    """

    digest: str
    source: Path
    path: Path
    contigs: tuple[StoredContig, ...]
    other_letters: dict[str, int]

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """Map the file: uint8 [bases] with the token in bits 0-2, soft-masking in bit 3."""
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Return the offset of each contig in the memory map, [contigs]."""
        return np.array([contig.offset for contig in self.contigs], dtype=np.int64)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return the length of each contig, [contigs]."""
        return np.array([contig.length for contig in self.contigs], dtype=np.int64)

    @property
    def bases(self) -> int:
        """Count the bases of all contigs."""
        return int(self.lengths.sum())

    @cached_property
    def unknown(self) -> Runs:
        """Find the runs of N, as offsets in the memory map."""
        starts, ends = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        # In chunks: a boolean array of a whole genome would take as much memory as the genome.
        for low, codes in self.chunks():
            is_unknown = (codes & fasta.TOKEN_BITS) == alphabet.N
            if is_unknown.any():
                edges = np.flatnonzero(np.diff(is_unknown, prepend=False, append=False)) + low
                starts.append(edges[::2])
                ends.append(edges[1::2])
        return merged(np.concatenate(starts), np.concatenate(ends))

    @cached_property
    def has_soft_masking(self) -> bool:
        """Return whether any base is soft-masked (lower case)."""
        # Ends at the first chunk with one; only a genome without any is read to its end.
        return any(bool((codes >= fasta.SOFT_MASKED).any()) for _, codes in self.chunks())

    def chunks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (offset, codes) of consecutive chunks of the memory map, each of at most 16 Mi bases."""
        for low in range(0, len(self.codes), _CHUNK):
            yield low, np.asarray(self.codes[low : low + _CHUNK])

    def index(self, name: str) -> int:
        """Return the index of the contig of that name. Raises GenomeError with the nearest name if there is none."""
        index = self._indices.get(name)
        if index is None:
            raise GenomeError(f"{self.source} has no contig {name!r}{nearest(name, self._indices)}")
        return index

    def tokens(self, contig: int, start: int, end: int) -> NDArray[np.uint8]:
        """Return the tokens [end - start] of a region of one contig. Raises IndexError outside the contig."""
        # Checked because an index beyond the contig would silently read the next one.
        self._refuse_outside(np.array([contig]), np.array([start]), end - start)
        offset = self.contigs[contig].offset
        return np.asarray(self.codes[offset + start : offset + end]) & np.uint8(fasta.TOKEN_BITS)

    def tokens_at(self, contig: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the token [n] at each position of a contig, both [n]; N where the position is outside the contig."""
        inside = (position >= 0) & (position < self.lengths[contig])
        tokens = np.full(len(position), alphabet.N, dtype=np.uint8)
        tokens[inside] = self.codes[(self.offsets[contig] + position)[inside]] & np.uint8(fasta.TOKEN_BITS)
        return tokens

    def same_bases(self, other: TokenStore) -> bool:
        """Return whether both stores hold the same bases, contig by contig; names, line lengths and case may differ."""
        if not np.array_equal(self.lengths, other.lengths):
            return False
        pairs = zip(self.chunks(), other.chunks(), strict=True)
        return all(not ((mine ^ theirs) & fasta.TOKEN_BITS).any() for (_, mine), (_, theirs) in pairs)

    def windows(
        self, contig: NDArray[np.int64], start: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return tokens, uint8 [B, length], and soft-masking, bool [B, length], of windows given by contig and start, both [B].

        Raises IndexError for a window that does not lie inside its contig.
        """
        self._refuse_outside(contig, start, length)
        # A sliding view copies whole windows; an index for every base would cost eight times as much.
        codes: NDArray[np.uint8] = sliding_window_view(np.asarray(self.codes), length)[self.offsets[contig] + start]
        return codes & np.uint8(fasta.TOKEN_BITS), codes >= fasta.SOFT_MASKED

    def _refuse_outside(self, contig: NDArray[np.int64], start: NDArray[np.int64], length: int) -> None:
        """Raise IndexError unless every window lies inside its contig."""
        if length < 0 or np.any((contig < 0) | (contig >= len(self.contigs))):
            raise IndexError(f"a window needs a length of at least 0 and a contig below {len(self.contigs)}")
        outside = (start < 0) | (start + length > self.lengths[contig])
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            name, size = self.contigs[int(contig[row])].name, self.lengths[contig[row]]
            raise IndexError(f"window {start[row]}-{start[row] + length} is not inside {name!r}, which has {size} bases")

    @cached_property
    def _indices(self) -> dict[str, int]:
        """Return the index of each contig by name."""
        return {contig.name: index for index, contig in enumerate(self.contigs)}

    def __getstate__(self) -> dict[str, object]:
        # Without the cached properties: a memory map would be pickled as a copy of the whole genome.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def open_store(path: Path, *, report: Callable[[int, int], None] | None = None) -> TokenStore:
    """Return the token store of a FASTA (plain, gzip or bgzip); build it in the cache folder if it is not there yet.

    report: called as report(bases read, all bases) while the store is built.
    Raises GenomeError for a file that cannot be used as a genome.
    """
    path = Path(path)
    gzipped = fasta.inspect(path)
    folder = cache_folder() / _LAYOUT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        identity = _identity(path)
        digest = _digest(path, folder, identity)
        store = _read(path, folder, digest)
        if store is None:
            # Read again under the lock: another process may have built it in the meantime.
            with FileLock(folder / f"{digest}.lock"):
                store = _read(path, folder, digest) or _build(path, folder, digest, gzipped=gzipped, report=report)
                if _identity(path) != identity:
                    raise GenomeError(f"{path} changed while it was read; try again when it is complete")
    except OSError as error:
        remedy = f"set {CACHE_VARIABLE} to a folder with free space"
        raise GenomeError(f"the token store of {path} cannot be written to {folder}: {error}; {remedy}") from error
    return store


def _read(path: Path, folder: Path, digest: str) -> TokenStore | None:
    """Return the store of that digest; None if there is none, or if its files are damaged or incomplete."""
    tokens, description = folder / f"{digest}.tokens", folder / f"{digest}.json"
    if not description.exists():
        return None
    try:
        content = json.loads(description.read_bytes())
        lengths = [length for _, length in content["contigs"]]
        offsets = np.cumsum([0, *lengths]).tolist()
        complete = tokens.stat().st_size == offsets[-1]
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        complete = False
    if not complete:
        return None
    contigs = tuple(
        StoredContig(name, length, offset) for (name, length), offset in zip(content["contigs"], offsets[:-1], strict=True)
    )
    return TokenStore(digest, path, tokens, contigs, content["other_letters"])


def _build(path: Path, folder: Path, digest: str, *, gzipped: bool, report: Callable[[int, int], None] | None) -> TokenStore:
    """Build the store. The caller holds the lock of this digest."""
    if (folder / f"{digest}.json").exists():
        log.warning("the token store of %s in %s is damaged; it is built again", path, folder)
    building = folder / f"{digest}.building"
    shutil.rmtree(building, ignore_errors=True)  # left by a process that was killed; this process holds the lock
    building.mkdir()
    try:
        with (building / "tokens").open("w+b") as out:
            contents = fasta.read_fasta(path, gzipped=gzipped, folder=building, out=out, report=report)
            # Synced before the rename, so that after a crash the file is complete under its name, or absent.
            out.flush()
            os.fsync(out.fileno())
        (building / "tokens").replace(folder / f"{digest}.tokens")
        # The description comes last: a store without one is absent.
        _write(folder / f"{digest}.json", {"contigs": contents.contigs, "other_letters": contents.other_letters})
    finally:
        shutil.rmtree(building)
    built = _read(path, folder, digest)
    if built is None:
        raise GenomeError(f"the token store of {path} was removed from {folder} while it was built; try again")
    return built


def _identity(path: Path) -> str:
    """Return what identifies a file's content without reading it: its inode, size and times of change."""
    state = path.stat()
    # ctime cannot be set by programs: new bytes under the old size and mtime (cp -p, rsync -t) are noticed.
    return f"{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"


def _digest(path: Path, folder: Path, identity: str) -> str:
    """Return the sha256 of the file; it is remembered while the file's inode, size and times of change stay the same."""
    memory = folder / "digests.json"
    remembered = _remembered(memory).get(identity)
    if remembered is not None:
        return remembered
    # Hashing a large genome takes seconds, so the digest is remembered, but only for a file that has not just changed.
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _identity(path) == identity and time.time() - path.stat().st_mtime > _SETTLED:
        try:
            with FileLock(folder / "digests.lock"):
                known = {**_remembered(memory), identity: digest}
                _write(memory, dict(list(known.items())[-_MAX_DIGESTS:]))
        except OSError as error:  # a shared read-only cache can still serve the stores that it holds
            log.info("could not save the digest of %s: %s", path, error)
    return digest


def _remembered(memory: Path) -> dict[str, str]:
    """Read the saved digests by file identity."""
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # a lost or damaged memory only costs hashing the files again
    return known if isinstance(known, dict) else {}


def _write(path: Path, content: Any) -> None:
    """Write JSON atomically: the file is complete or absent.

    The caller holds a lock, so a temporary file of a fixed name will do; one that a killed process left is overwritten.
    """
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)
