"""The token store: a genome as a memory map in the cache folder, one byte a base, keyed by the FASTA's content."""

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
from platformdirs import user_cache_dir

from findna_kit import alphabet
from findna_kit.atomic import sync
from findna_kit.data.genome import fasta
from findna_kit.data.genome.intervals import merged
from findna_kit.errors import GenomeError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from findna_kit.data.genome.intervals import Runs

log = logging.getLogger(__name__)

CACHE_VARIABLE = "FINDNA_KIT_CACHE"
_LAYOUT = "genomes-1"
"""Folder in the cache; another layout of the files takes another name, so that versions of the kit never meet."""
_REMEMBERED = 1000
_SETTLED = 2.0
"""Seconds: a file changed a moment ago may change again within one tick of its clock, so its digest is not remembered."""
_CHUNK = 1 << 24


@dataclass(frozen=True)
class StoredContig:
    """One sequence of a genome; `offset` is the place of its first base in the map."""

    name: str
    length: int
    offset: int


@dataclass(frozen=True)
class TokenStore:
    """A genome, mapped read-only. Pickled it carries its path, not its bases, and opens its own map again.

    digest: sha256 of the FASTA as given. source: that FASTA. path: the map. other_letters: how often each letter other than
    ACGTN (either case) stood in the FASTA; U was read as T, all others as N.
    """

    digest: str
    source: Path
    path: Path
    contigs: tuple[StoredContig, ...]
    other_letters: dict[str, int]

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """The map, [bases]: token in bits 0-2, soft-masked in bit 3."""
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Each contig's place in the map."""
        return np.array([contig.offset for contig in self.contigs], dtype=np.int64)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Each contig's length."""
        return np.array([contig.length for contig in self.contigs], dtype=np.int64)

    @property
    def bases(self) -> int:
        """Of all contigs."""
        return int(self.lengths.sum())

    @cached_property
    def unknown(self) -> Runs:
        """Where the map holds N."""
        starts, ends = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for low, codes in self.chunks():
            is_unknown = (codes & fasta.TOKEN_BITS) == alphabet.N
            if is_unknown.any():
                edges = np.flatnonzero(np.diff(is_unknown, prepend=False, append=False)) + low
                starts.append(edges[::2])
                ends.append(edges[1::2])
        return merged(np.concatenate(starts), np.concatenate(ends))

    def chunks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(place, codes) of stretches of the map, in order, each of at most 16 Mi bases."""
        for low in range(0, len(self.codes), _CHUNK):
            yield low, np.asarray(self.codes[low : low + _CHUNK])

    def index(self, name: str) -> int:
        """The number of the contig of that name; GenomeError with the nearest name."""
        found = self._numbers.get(name)
        if found is None:
            raise GenomeError(f"{self.source} has no contig {name!r}{nearest(name, self._numbers)}")
        return found

    def tokens(self, contig: int, start: int, end: int) -> NDArray[np.uint8]:
        """Tokens [end - start] of a stretch of one contig; IndexError outside it."""
        self._refuse_outside(np.array([contig]), np.array([start]), end - start)
        place = self.contigs[contig].offset
        return np.asarray(self.codes[place + start : place + end]) & np.uint8(fasta.TOKEN_BITS)

    def same_bases(self, other: TokenStore) -> bool:
        """Whether both hold the same bases, contig by contig, whatever the files, names, lines and case they came in."""
        if not np.array_equal(self.lengths, other.lengths):
            return False
        pairs = zip(self.chunks(), other.chunks(), strict=True)
        return all(not ((mine ^ theirs) & fasta.TOKEN_BITS).any() for (_, mine), (_, theirs) in pairs)

    def windows(
        self, contig: NDArray[np.int64], start: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Tokens [B, length] uint8 and soft-masking [B, length] bool; IndexError for a window not inside its contig [B]."""
        self._refuse_outside(contig, start, length)
        # Whole stretches are copied, where an index for every base would cost eight times as much.
        codes: NDArray[np.uint8] = sliding_window_view(np.asarray(self.codes), length)[self.offsets[contig] + start]
        return codes & np.uint8(fasta.TOKEN_BITS), codes >= fasta.SOFT_MASKED

    def _refuse_outside(self, contig: NDArray[np.int64], start: NDArray[np.int64], length: int) -> None:
        if length < 0 or np.any((contig < 0) | (contig >= len(self.contigs))):
            raise IndexError(f"a window needs a length of at least 0 and a contig below {len(self.contigs)}")
        outside = (start < 0) | (start + length > self.lengths[contig])
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            name, size = self.contigs[int(contig[row])].name, self.lengths[contig[row]]
            raise IndexError(f"window {start[row]}-{start[row] + length} is not inside {name!r}, which has {size} bases")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {contig.name: number for number, contig in enumerate(self.contigs)}

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def cache_folder() -> Path:
    """`FINDNA_KIT_CACHE`, or the user's cache folder (XDG)."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("findna-kit")).expanduser().absolute()


def open_store(path: Path, *, report: Callable[[int, int], None] | None = None) -> TokenStore:
    """The token store of a FASTA (plain, gzip or bgzip), built in the cache folder if it is not there yet.

    report(bases done, all bases) is called while it is built. GenomeError for a file that cannot be used as a genome.
    """
    path = Path(path)
    gzipped = fasta.inspect(path)
    folder = cache_folder() / _LAYOUT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        identity = _identity(path)
        digest = _digest(path, folder, identity)
        found = _read(path, folder, digest)
        if found is None:
            with FileLock(folder / f"{digest}.lock"):
                found = _read(path, folder, digest) or _build(path, folder, digest, gzipped=gzipped, report=report)
                if _identity(path) != identity:
                    raise GenomeError(f"{path} changed while it was read; try again when it is complete")
    except OSError as error:
        message = f"the token store of {path} cannot be kept in {folder}: {error}; set {CACHE_VARIABLE} to a folder with room"
        raise GenomeError(message) from error
    return found


def _read(path: Path, folder: Path, digest: str) -> TokenStore | None:
    tokens, description = folder / f"{digest}.tokens", folder / f"{digest}.json"
    if not description.exists():
        return None
    try:
        read = json.loads(description.read_bytes())
        lengths = [length for _, length in read["contigs"]]
        offsets = np.cumsum([0, *lengths]).tolist()
        whole = tokens.stat().st_size == offsets[-1]
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        whole = False
    if not whole:
        return None
    contigs = tuple(
        StoredContig(name, length, offset) for (name, length), offset in zip(read["contigs"], offsets[:-1], strict=True)
    )
    return TokenStore(digest, path, tokens, contigs, read["other_letters"])


def _build(path: Path, folder: Path, digest: str, *, gzipped: bool, report: Callable[[int, int], None] | None) -> TokenStore:
    if (folder / f"{digest}.json").exists():
        log.warning("the token store of %s in %s is damaged; it is built again", path, folder)
    building = folder / f"{digest}.building"
    shutil.rmtree(building, ignore_errors=True)  # of a process that was killed: this one holds the lock
    building.mkdir()
    try:
        with (building / "tokens").open("w+b") as out:
            contents = fasta.read_fasta(path, gzipped=gzipped, folder=building, out=out, report=report)
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
    state = path.stat()
    # The time of the inode's change cannot be set: new bytes under the old size and time of change (cp -p, rsync -t) are seen.
    return f"{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"


def _digest(path: Path, folder: Path, identity: str) -> str:
    """sha256 of the file; not hashed again while its inode, size and times of change stay."""
    memory = folder / "digests.json"
    remembered = _remembered(memory).get(identity)
    if remembered is not None:
        return remembered
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _identity(path) == identity and time.time() - path.stat().st_mtime > _SETTLED:
        try:
            with FileLock(folder / "digests.lock"):
                known = {**_remembered(memory), identity: digest}
                _write(memory, dict(list(known.items())[-_REMEMBERED:]))
        except OSError as error:  # a cache shared read-only serves what it holds; what must be built there fails by itself
            log.info("the digest of %s is not remembered: %s", path, error)
    return digest


def _remembered(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # nothing is lost: the file is hashed again
    return known if isinstance(known, dict) else {}


def _write(path: Path, content: Any) -> None:
    """Whole or absent. The caller holds a lock, so one name beside does, and what a kill left there is written over."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(content), encoding="utf-8")
    sync(beside)
    beside.replace(path)
    sync(path.parent)
