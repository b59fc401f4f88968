"""What `ckptkit migrate` of a .pt costs, beside copying the same file and syncing it."""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import interleave, median_ratio

PYTHON = sys.executable
RATIO_LIMIT = 1.5  # of wall time, to cp and fsync
MEMORY_LIMIT_NBYTES = 64 << 20  # of peak memory, above the bare interpreter
ROUNDS = 5
CONVERT = (
    "import sys, torch; from safetensors.torch import save_file;"
    "save_file(torch.load(sys.argv[1], mmap=True, weights_only=True), sys.argv[2]);"
    "import os; fd = os.open(sys.argv[2], os.O_RDONLY); os.fsync(fd)"
)


def remove(path: Path) -> None:
    """Remove what the run before made, file or folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def bench_migrate(files: dict[str, Path], console: Console) -> bool:
    """Print the table; True if both limits were kept."""
    source = files["zip"]
    out = source.parent / "migrated"
    ckptkit = Path(PYTHON).with_name("ckptkit")
    commands = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "cp, then fsync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", str(source), str(out)],
        "ckptkit migrate": [str(ckptkit), "migrate", str(source), str(out)],
        "torch.load + safetensors.save_file + fsync": [
            PYTHON, "-c", CONVERT, str(source), str(out),
        ],
    }  # fmt: skip
    runs = interleave(commands, ROUNDS, lambda: remove(out))
    remove(out)
    base = statistics.median(run.peak_nbytes for run in runs["python -c pass"])
    table = Table(title=f"migrate: {source.stat().st_size / 1e9:.2f} GB", title_justify="left")
    for column in ("command", "median s", "to cp + fsync", "memory above bare Python"):
        table.add_column(column, justify="left" if column == "command" else "right")
    for name in list(commands)[1:]:
        ratio = median_ratio(runs[name], runs["cp, then fsync"])
        memory = statistics.median(run.peak_nbytes for run in runs[name]) - base
        wall_s = statistics.median(run.wall_s for run in runs[name])
        table.add_row(name, f"{wall_s:.2f}", f"{ratio:.2f}", f"{memory / (1 << 20):.0f} MiB")
        if name == "ckptkit migrate":
            kept = ratio <= RATIO_LIMIT and memory <= MEMORY_LIMIT_NBYTES
    console.print(table)
    console.print(f"limits of ckptkit migrate: ratio {RATIO_LIMIT}, memory 64 MiB")
    return kept


if __name__ == "__main__":
    from benchmarks.files import make_files

    bench_migrate(make_files(Path(sys.argv[1]), 1 << 30), Console())
