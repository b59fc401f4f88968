"""Every measurement of the README, in one run: ``make bench``.

    python benchmarks/run.py [--folder DIR] [--nbytes N]

The files (3 GB with the default size) are made in DIR and kept for the next run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console

from benchmarks.bench_inspect import bench_inspect
from benchmarks.bench_migrate import bench_migrate
from benchmarks.bench_save import bench_save
from benchmarks.bench_stall import bench_stall
from benchmarks.files import make_files


def main() -> None:
    """Print all tables; exit 1 if a promised limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    parser.add_argument("--nbytes", type=int, default=1 << 30)
    options = parser.parse_args()
    console = Console(width=110)
    files = make_files(options.folder, options.nbytes)
    kept = [bench_inspect(files, console), bench_migrate(files, console)]
    kept.append(bench_save(options.folder, console, nbytes=options.nbytes))
    kept.append(bench_stall(options.folder, console, nbytes=options.nbytes))
    console.print("every limit kept" if all(kept) else "[red]a limit was missed")
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
