"""Build findna_kit/data/builtin from Debian's augustus-doc package.

    python tools/build_builtin.py [PACKAGE.deb] [--out DIR] [--check]

Without PACKAGE.deb it is fetched with `apt-get download augustus-doc`. Exit codes: 0 done; 2 what was given is
wrong; 3 `--check` found a difference.
"""

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import coding_windows
from coding_windows import Gene, Region, Window

OUT = Path(__file__).resolve().parent.parent / "findna_kit" / "data" / "builtin"
PACKAGE = "augustus-doc"
VERSION = "3.5.0+dfsg-2"
TUTORIAL = "usr/share/doc/augustus/tutorial"
PINNED = {
    "data/chr2R.fa": "dcf0f58d162c93f8f629d2f55374e916015987092f0fefdd0bbeb03c3e854547",
    "results/genes.gb": "7e58d4a0e345932326fd40ca8beb79f29e1315f08204b34365ed4070daca79bf",
    "results/scipio.gff": "708342527fa09109ae7923922486e8e61e4515462e60dc5fd3ec16a3b28d4577",
}
GENOME, GENES, ALIGNMENTS = PINNED

START, END = 2_000_000, 7_000_000
CONTIG = f"chr2R_{START}_{END}"
LINE = 80
# Borders lie in gaps between records, and cut no protein alignment; a new border is checked when the windows are drawn.
VALIDATION = Region("validation", 1_435_000, 1_770_000)
TEST = Region("test", 2_745_000, 3_270_000)
COLUMNS = "sequence,label,contig,start,end,strand"

LICENCE = {
    "package": "augustus-doc's copyright file (read 3.5.0+dfsg-2) puts all upstream files, with no separate entry for the "
    "tutorial's data, under the Artistic License, (c) 2004-2016 Gerischer, Keller, Koenig, Romoth, Stanke, Stafilarakis",
    "genome": "D. melanogaster, BDGP Release 5 (UCSC dm3, April 2006). UCSC's conditions of use: 'The sequence and annotation "
    "data displayed in the Genome Browser are freely available for any use', subject to restrictions noted on its Credits "
    "page; NCBI 'places no restrictions on the use or distribution of the GenBank data'",
    "genes": "Scipio alignments, made by the AUGUSTUS authors, of FlyBase proteins. FlyBase today: 'All annotations and data "
    "produced by FlyBase' are CC BY 4.0; its statement of 2006 forbade commercial use without permission. No protein "
    "sequence is shipped, only windows and their labels",
    "not_seen": "UCSC's own README of dm3 and its Credits page could not be read when this was written",
}


class BuildError(Exception):
    """What the user gave cannot be used."""


def main() -> int:
    """Run the command; the value is the exit code."""
    parser = argparse.ArgumentParser(description="Build the built-in genome and task from Debian's augustus-doc.")
    parser.add_argument("deb", nargs="?", type=Path, help="the package's file; fetched with apt-get if not given")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to, or to check (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing; compare what lies there with a fresh build")
    arguments = parser.parse_args()
    try:
        files = build(read_sources(arguments.deb))
        if arguments.check:
            return check(arguments.out, files)
        write(arguments.out, files)
    except (BuildError, OSError) as error:
        print(f"build_builtin: {error}", file=sys.stderr)
        return 2
    return 0


def read_sources(deb: Path | None) -> dict[str, str]:
    """Unpack the package and return its pinned files, digests checked."""
    with tempfile.TemporaryDirectory() as folder:
        if deb is None:
            _run(["apt-get", "download", PACKAGE], Path(folder))
            deb = next(Path(folder).glob("*.deb"), None)
        if deb is None or not deb.is_file():
            raise BuildError(f"no such package file: {deb}")
        unpacked = Path(folder) / "unpacked"
        _run(["dpkg-deb", "-x", str(deb.resolve()), str(unpacked)], Path(folder))
        sources = {}
        for name, expected in PINNED.items():
            path = unpacked / TUTORIAL / name
            content = path.read_bytes() if path.is_file() else b""
            if _digest(content) != expected:
                raise BuildError(f"{deb.name}: {TUTORIAL}/{name} is missing or not the pinned one (of {PACKAGE} {VERSION})")
            sources[name] = content.decode("ascii")
    return sources


def build(sources: dict[str, str]) -> dict[str, bytes]:
    """Make all files, by their path in the output folder."""
    chromosome = "".join(line for line in sources[GENOME].splitlines() if not line.startswith(">"))
    contig = chromosome[START:END]
    read, unreadable = coding_windows.parse_genes(sources[GENES])
    coding = coding_windows.parse_coding(sources[ALIGNMENTS])
    # A record that does not fit the genome or the alignments has unknown labels: it is dropped and counted.
    genes = coding_windows.trusted(contig, read, coding)
    try:
        parts = coding_windows.draw(contig, genes, coding, {"test": TEST, "dev": VALIDATION})
    except ValueError as error:
        raise BuildError(str(error)) from error
    files = {"genome.fa.gz": _gzip(_fasta(contig)), "regions.bed": _regions().encode()}
    files |= {f"coding/{part}.csv.gz": _gzip(_csv(parts[part])) for part in ("train", "dev", "test")}
    total = len(read) + unreadable
    counts = {"in_package": total, "fit_genome_and_alignments": len(genes), "dropped": total - len(genes)}
    described = _describe(files, contig, parts, genes, counts)
    files["SOURCES.json"] = (json.dumps(described, indent=2) + "\n").encode()
    return files


def write(out: Path, files: dict[str, bytes]) -> None:
    """Write the files and say their sizes."""
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{len(content):>9,}  {name}")
    print(f"{sum(map(len, files.values())):>9,}  in all, in {out}")


def check(out: Path, files: dict[str, bytes]) -> int:
    """Compare a folder with a fresh build; 3 if they differ."""
    wrong = 0
    for name, content in files.items():
        path = out / name
        there = path.read_bytes() if path.is_file() else b""
        verdict = "same" if there == content else "DIFFERENT" if there else "MISSING"
        if verdict == "DIFFERENT" and name.endswith(".gz") and _unpack(there) == _unpack(content):
            verdict = "DIFFERENT, but equal when unpacked (another zlib?)"
        wrong += verdict != "same"
        print(f"{_digest(there)[:16] if there else '-':16}  {_digest(content)[:16]}  {name}: {verdict}")
    return 3 if wrong else 0


def _describe(
    files: dict[str, bytes], contig: str, parts: dict[str, list[Window]], genes: list[Gene], counts: dict[str, int]
) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = {
        name: {"sha256": _digest(content), "unpacked_sha256": _digest(_unpack(content)), "bytes": len(content)}
        for name, content in files.items()
    }
    entries["genome.fa.gz"] |= {
        "source": f"{TUTORIAL}/{GENOME}",
        "contig": CONTIG,
        "coordinates": f"dm3 chr2R:{START}-{END}, 0-based half-open",
        "bases": len(contig),
        "soft_masked": sum(map(str.islower, contig)),
    }
    entries["regions.bed"] |= {"source": "tools/build_builtin.py", "rows": 2}
    regions = {"test": TEST, "dev": VALIDATION}
    for part, windows in parts.items():
        positive = sum(window.label for window in windows)
        entries[f"coding/{part}.csv.gz"] |= {
            "source": [f"{TUTORIAL}/{name}" for name in PINNED],
            "coordinates": f"in {CONTIG}, 0-based half-open",
            "rows": len(windows),
            "classes": {"0": len(windows) - positive, "1": positive},
            "records": {
                "in_part": sum(coding_windows.part_of(gene, regions) == part for gene in genes),
                "drawn_from": len({window.gene for window in windows}),
            },
        }
    package = {"name": PACKAGE, "version": VERSION, "distribution": "Debian", "files": PINNED}
    return {"package": package, "licence": LICENCE, "seed": coding_windows.SEED, "records": counts, "files": entries}


def _fasta(contig: str) -> str:
    return f">{CONTIG}\n" + "".join(f"{contig[i : i + LINE]}\n" for i in range(0, len(contig), LINE))


def _regions() -> str:
    return "".join(f"{CONTIG}\t{region.start}\t{region.end}\t{region.name}\n" for region in (VALIDATION, TEST))


def _csv(windows: list[Window]) -> str:
    rows = (f"{row.sequence},{row.label},{CONTIG},{row.start},{row.end},{row.strand}\n" for row in windows)
    return f"{COLUMNS}\n{''.join(rows)}"


def _gzip(text: str) -> bytes:
    """Compress without name and time, which would differ from build to build."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(text.encode("ascii"))
    return buffer.getvalue()


def _unpack(content: bytes) -> bytes:
    """Undo gzip; what is not gzip, or is broken, stays as it is."""
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError):
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is needed (Debian or Ubuntu): {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
