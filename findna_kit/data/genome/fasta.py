"""Converting a FASTA to codes with pyfaidx, once per file; the handle is opened, used and closed by one process.

A code is one byte per base: the lower three bits hold the token (A C G T N), bit 3 is set for a lower-case letter.
"""

from __future__ import annotations

import errno
import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from pyfaidx import Faidx, FastaIndexingError

from findna_kit import alphabet
from findna_kit.errors import GenomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Report = Callable[[int, int], None]

TOKEN_BITS = 0b0111
SOFT_MASKED = 0b1000
# Two more bits, which are only used while reading: a letter other than ACGTN, and a byte that no sequence may contain.
_OTHER, _INVALID = 0b0001_0000, 0b0010_0000
_CHUNK = 1 << 18  # bases read at a time
_LINE = 1 << 16  # length of the lines of a FASTA that had to be wrapped anew
_HEAD = 1 << 16  # bytes of a file that are checked before it is read
# Letters of amino acids that no nucleotide code uses, and the share of them above which a file is taken for protein.
_PROTEIN, _PROTEIN_SHARE = "EFIJLOPQZ*", 0.02

# Files that users try instead of a FASTA, by their first bytes, with what to do about each.
_OTHER_FORMATS = {
    b"\xfd7zXZ\x00": "is xz-compressed; unpack it first (xz -dk FILE) and give the FASTA",
    b"BZh": "is bzip2-compressed; unpack it first (bunzip2 -k FILE) and give the FASTA",
    b"\x28\xb5\x2f\xfd": "is zstd-compressed; unpack it first (unzstd FILE) and give the FASTA",
    b"PK\x03\x04": "is a zip archive; unpack it first (unzip FILE) and give the FASTA",
    b"\x43\x27\x41\x1a": "is a 2bit file; convert it first (twoBitToFa FILE out.fa)",
    b"\x1a\x41\x27\x43": "is a 2bit file; convert it first (twoBitToFa FILE out.fa)",
    b"\x1f\x8b": "is gzip within gzip; unpack it once (gunzip -c FILE > NEW)",
    b"\xef\xbb\xbf": "begins with a byte-order mark; save it as UTF-8 without one (tail -c +4 FILE > NEW)",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
}
_BGZIP_START, _BGZIP_END = b"\x1f\x8b\x08\x04", bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The first bytes of a bgzip file, whose bytes 12 and 13 are "BC"; and its empty last block (SAM specification, 4.1)."""


@dataclass(frozen=True)
class Contents:
    """The contents of a FASTA: name and length of each contig, and the count of each letter other than ACGTN."""

    contigs: tuple[tuple[str, int], ...]
    other_letters: dict[str, int]


class _UnevenLines(Exception):
    """The lines cannot be indexed. The file is then wrapped anew; the message is used if that does not help."""


class _Handle(Faidx):  # type: ignore[misc]
    """A pyfaidx handle that closes its file when the index cannot be built; pyfaidx leaves it open."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(str(path), indexname=f"{path}.fai", as_raw=True, strict_bounds=True)
        except (OSError, UnicodeDecodeError, RuntimeError):
            if hasattr(self, "file"):
                self.file.close()
            raise


def inspect(source: Path) -> bool:
    """Return True for gzip or bgzip and False for plain text.

    Raises GenomeError if the first 64 KiB show that the file is not a FASTA.
    """
    with _reading(source):
        if source.is_dir():
            raise GenomeError(f"{source} is a folder; give the FASTA file in it")
        # A pipe can be read only once, but a FASTA is read several times: to check, to hash, to index, to encode.
        if source.exists() and not source.is_file():
            raise GenomeError(f"{source} is not a regular file; write the sequence into a file first")
        with source.open("rb") as file:
            start = file.read(len(_BGZIP_END))
            file.seek(max(0, source.stat().st_size - len(_BGZIP_END)))
            end = file.read()
        gzipped = start.startswith(b"\x1f\x8b")
        with gzip.open(source) if gzipped else source.open("rb") as file:
            text = file.read(_HEAD)
    for magic, message in _OTHER_FORMATS.items():
        if text.startswith(magic):
            raise GenomeError(f"{source} {message}")
    # bgzip files consist of complete gzip members: gzip does not notice when the last ones are missing.
    if start.startswith(_BGZIP_START) and start[12:14] == b"BC" and end != _BGZIP_END:
        advice = "fetch it again, or, if it is complete, compress it anew (gunzip -c FILE | bgzip > NEW)"
        raise GenomeError(f"{source} is bgzip without its last block, so probably truncated; {advice}")
    if not text.strip():
        raise GenomeError(f"{source} is empty; a FASTA with at least one sequence is wanted")
    if b"\0" in text:
        raise GenomeError(f"{source} is a binary file; a FASTA is text: a line '>name', then lines of bases")
    if b"\r" in text[:-1] and b"\n" not in text:
        raise GenomeError(f"{source} has lines that end in CR alone; convert it first (tr '\\r' '\\n' < FILE > NEW)")
    # Old FASTA files may begin with comments after ';'.
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith(b";")), b">")
    if not first.startswith(b">"):
        shown = first[:40].decode("ascii", "replace")
        raise GenomeError(f"{source} is no FASTA: its first line must be '>name', but is {shown!r}")
    return gzipped


def read_fasta(source: Path, *, gzipped: bool, folder: Path, out: BinaryIO, report: Report | None = None) -> Contents:
    """Write the codes of all contigs to `out`, one contig after the other.

    gzipped: whether `source` is compressed, as `inspect` returns. folder: for temporary files.
    report: called as report(bases read, all bases) after each chunk. Memory is bounded by the chunk and the longest line.
    Raises GenomeError for a file that cannot be used as a genome.
    """
    text = folder / "genome.fa"
    if gzipped:
        with _reading(source), gzip.open(source) as packed, text.open("wb") as unpacked:
            while block := packed.read(_CHUNK):
                unpacked.write(block)
    else:
        text.symlink_to(source.absolute())  # under a name without .gz, which pyfaidx would take for compressed
    try:
        return _encode(source, text, out, report)
    except _UnevenLines:
        wrapped = folder / "even.fa"
        with text.open("rb") as old, wrapped.open("wb") as new:
            _wrap(old, new)
    out.seek(0)
    out.truncate()
    try:
        return _encode(source, wrapped, out, report)
    except _UnevenLines as error:
        raise GenomeError(f"{source}: {error}") from error


def _encode(source: Path, text: Path, out: BinaryIO, report: Report | None) -> Contents:
    """Write the codes of an unpacked FASTA. source: the user's file, for errors. text: the file that is read."""
    with _index(source, text) as handle:
        contigs = tuple((name, record.rlen) for name, record in handle.index.items())
        total, done = sum(length for _, length in contigs), 0
        if not total:
            raise GenomeError(f"{source} holds no bases: there is no line of sequence below its '>' lines")
        others = np.zeros(256, dtype=np.int64)
        for name, start, end in _chunks(handle):
            letters = handle.fetch(name, start + 1, end).encode("latin-1", "replace")
            if len(letters) != end - start:
                raise _UnevenLines(f"the lines of {name!r} are not of one length; wrap them anew (seqkit seq FILE)")
            # One table lookup gives token, case and the two warning bits; the slow path below runs only for rare letters.
            codes = np.frombuffer(letters.translate(_CODES), dtype=np.uint8)
            if codes.max() >= _OTHER:
                _count_others(name, letters, codes, others)
                codes = codes & np.uint8(TOKEN_BITS | SOFT_MASKED)
            out.write(codes.data)
            done += end - start
            if report:
                report(done, total)
    # Amino acids would silently become N; a few of their letters may be typing errors, more are a protein.
    counts = {chr(letter): int(others[letter]) for letter in np.flatnonzero(others)}
    protein = sum(counts.get(letter, 0) for letter in _PROTEIN)
    if protein > _PROTEIN_SHARE * total:
        raise GenomeError(f"{source} looks like protein: {protein} of its {total} letters are {_PROTEIN}; give a FASTA of DNA")
    return Contents(contigs, counts)


@contextmanager
def _index(source: Path, text: Path) -> Iterator[Any]:
    """Open a pyfaidx handle; turn each error of pyfaidx into one that names the user's file and the remedy."""
    try:
        handle = _Handle(text)
    except FastaIndexingError as error:
        if "Line length" in str(error):
            raise _UnevenLines(str(error).replace(str(text), str(source))) from error
        if "Bad sequence name" in str(error):
            raise GenomeError(f"{source} has a '>' line without a name; give each sequence one") from error
        raise GenomeError(f"{source} is no FASTA: {str(error).replace(str(text), str(source))}") from error
    except RuntimeError as error:  # pyfaidx 0.9.2 fails on a record that ends in two blank lines
        raise _UnevenLines("the FASTA has blank lines in it; wrap it anew (seqkit seq FILE)") from error
    except UnicodeDecodeError as error:
        raise GenomeError(f"{source} holds bytes that are not UTF-8 text; save it as plain text") from error
    except ValueError as error:  # raised by pyfaidx for a duplicate name, and for nothing else here
        raise GenomeError(f"{source} gives two sequences one name ({error}); rename one of them") from error
    try:
        yield handle
    finally:
        handle.close()


def _chunks(handle: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (contig name, start, end). No chunk ends at the end of a line: pyfaidx would read that line's end twice.

    So the chunks of a contig are adjacent bytes of the file. If each has the expected number of letters and none is invalid,
    they are the contig, whatever its lines look like. (pyfaidx compares lines in bytes; mixed CRLF and LF defeat it.)
    """
    for name, record in handle.index.items():
        start = 0
        while start < record.rlen:
            end = start + _CHUNK
            end = min(end + (end % record.lenc == 0), record.rlen)
            yield name, start, end
            start = end


def _count_others(name: str, letters: bytes, codes: np.ndarray[Any, np.dtype[np.uint8]], others: np.ndarray[Any, Any]) -> None:
    """Add the counts of letters other than ACGTN to `others` [256]. Raises _UnevenLines for a byte that is no letter."""
    invalid = np.flatnonzero(codes & _INVALID)
    if len(invalid):
        shown = chr(letters[invalid[0]])
        raise _UnevenLines(f"{name!r} holds {shown!r}, which is no letter of a sequence; take it out")
    other = np.flatnonzero(codes & _OTHER)
    upper = np.frombuffer(letters.upper(), dtype=np.uint8)
    others += np.bincount(upper[other], minlength=256)


def _wrap(old: BinaryIO, new: BinaryIO) -> None:
    """Copy a FASTA with lines of one length, without blanks, blank lines and ';' comments.

    This is a loop over lines in Python, slow but needed only for the rare file that pyfaidx cannot index.
    """
    pending = bytearray()
    for line in old:
        if line.startswith(b">"):
            new.write(bytes(pending) + b"\n" if pending else b"")
            pending.clear()
            new.write(line.rstrip() + b"\n")
        elif not line.startswith(b";"):
            pending += b"".join(line.split())
        while len(pending) >= _LINE:
            new.write(bytes(pending[:_LINE]) + b"\n")
            del pending[:_LINE]
    new.write(bytes(pending) + b"\n" if pending else b"")


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Turn errors of opening and decompressing the source into GenomeErrors that say what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise GenomeError(f"there is no file {source}; give the path of a FASTA (plain, gzip or bgzip)") from error
    except PermissionError as error:
        raise GenomeError(f"{source} may not be read: permission denied; ask its owner, or copy it") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GenomeError(f"{source} is a broken or truncated gzip file ({error}); fetch it again") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a full disk, for example, is not a fault of the source
            raise
        raise GenomeError(f"{source}: the name is too long for a file; give the path of a FASTA") from error


def _code_table() -> bytes:
    """Return the code of every byte, as a table for `bytes.translate`."""
    letters = bytes(range(256))
    text = np.array([chr(letter).isascii() and (chr(letter).isalpha() or chr(letter) in "-.*") for letter in letters])
    codes = alphabet.encode(letters) | alphabet.is_soft_masked(letters) * np.uint8(SOFT_MASKED)
    codes |= ~alphabet.is_known_letter(letters) * np.uint8(_OTHER)
    codes |= ~text * np.uint8(_INVALID)
    return codes.astype(np.uint8).tobytes()


_CODES = _code_table()
