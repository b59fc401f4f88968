"""How long a person waits for `ckptkit inspect`, above a Python that does nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Run, interleave, median_over

PYTHON = sys.executable
#: Seconds above ``python -c pass``; the promise of the README.
LIMITS_S = {"table": 0.130, "json": 0.080, "10k": 0.4, "100k": 3.0}
ROUNDS = 9


def inspect_command(path: Path, *options: str) -> list[str]:
    """The command as the console script runs it."""
    return [str(Path(PYTHON).with_name("ckptkit")), "inspect", str(path), *options]


def load_command(path: Path) -> list[str]:
    """What people do today to see the keys of a .pt file."""
    code = f"import torch; print(torch.load({str(path)!r}, mmap=True, weights_only=True).keys())"
    return [PYTHON, "-c", code]


def seal(path: Path, folder: Path) -> Path:
    """A v2 folder with the same tensors."""
    if not folder.exists():
        command = [inspect_command(path)[0], "migrate", str(path), str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def bench_inspect(files: dict[str, Path], console: Console) -> bool:
    """Print the table; True if every limit was kept."""
    sealed = seal(files["zip"], files["zip"].with_suffix(".v2"))
    targets = {
        "1 GB torch zip": files["zip"],
        "1 GB safetensors": files["safetensors"],
        "1 GB v2": sealed,
    }
    commands: dict[str, list[str]] = {"pass": [PYTHON, "-c", "pass"]}
    for name, path in targets.items():
        commands[f"{name}, table"] = inspect_command(path)
        commands[f"{name}, --json"] = inspect_command(path, "--json")
    commands["torch.load(mmap=True)"] = load_command(files["zip"])
    runs = interleave(commands, ROUNDS)
    slow = {"pass": [PYTHON, "-c", "pass"]}
    slow |= {f"{count} tensors": inspect_command(files[count]) for count in ("10k", "100k")}
    many = interleave(slow, 3)
    table = Table(
        title="inspect: seconds above `python -c pass` (median of rounds)", title_justify="left"
    )
    for column in ("command", "seconds", "limit"):
        table.add_column(column, justify="left" if column == "command" else "right")
    kept = [add_row(table, name, runs) for name in runs if name != "pass"]
    kept += [add_row(table, name, many) for name in many if name != "pass"]
    console.print(table)
    return all(kept)


def add_row(table: Table, name: str, runs: dict[str, list[Run]]) -> bool:
    """One line of the table; True if it keeps its limit or has none."""
    words = name.replace("--", "").split()
    limit = LIMITS_S.get(words[-1]) or LIMITS_S.get(words[0])
    seconds = median_over(runs[name], runs["pass"])
    table.add_row(name, f"{seconds:.3f}", f"{limit:.3f}" if limit else "(peer)")
    return limit is None or seconds <= limit


if __name__ == "__main__":
    from benchmarks.files import make_files

    where = Path(sys.argv[1])
    bench_inspect(make_files(where, 1 << 30), Console())
    shutil.rmtree(where / "unused", ignore_errors=True)
