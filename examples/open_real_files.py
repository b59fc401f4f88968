"""Open checkpoints that other people made: inspect, scan, migrate, verify, read them elsewhere.

    python examples/open_real_files.py --corpus .cache/corpus --out demo-out

Every command that is printed is run as it stands, so each can be copied and tried by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from safetensors import deserialize

#: What each file is an example of.
FILES = {
    "lpips/weights/v0.1/squeeze.pth": "a bare state_dict in the stacked pickles of old PyTorch",
    "torchmetrics/functional/image/dists_models/weights.pt": "a dict of loose tensors, old format",
    "pesto/weights/mir-1k.ckpt": "a PyTorch Lightning checkpoint",
    "chgnet/pretrained/0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar": "a training dict and optimizer",
}
SUFFIX = re.compile(r"\.(pth\.tar|pth|pt|ckpt)$")
console = Console()


def run(*arguments: str | Path, quiet: bool = False) -> str:
    """Run one ckptkit command as a user types it; stop the demo if it fails."""
    words = ["ckptkit", *map(str, arguments)]
    if not quiet:
        console.print(f"[bold cyan]$ {' '.join(words)}")
    command = [sys.executable, "-m", "ckptkit", *words[1:]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if not quiet:
        console.print(result.stdout, end="", markup=False, highlight=False, soft_wrap=True)
    if result.returncode:
        sys.exit(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout


def read_elsewhere(folder: Path) -> tuple[int, int]:
    """Count tensors and bytes that the official safetensors library finds in a v2 folder."""
    tensors = [
        tensor
        for path in sorted(folder.glob("*.safetensors"))
        for _, tensor in deserialize(path.read_bytes())
    ]
    return len(tensors), sum(len(tensor["data"]) for tensor in tensors)


def show(source: Path, what: str, out: Path) -> None:
    """Open one file in every way that this version knows."""
    console.print(Rule(f"[bold]{source.name}[/]: {what}"))
    target = out / SUFFIX.sub("", source.name)
    run("inspect", source)
    run("scan", source)
    run("migrate", source, target)
    run("verify", target)
    sealed = json.loads(run("inspect", target, "--json", quiet=True))
    count, nbytes = read_elsewhere(target)
    console.print(f"[green]safetensors itself reads {count} tensors, {nbytes:,} bytes.")
    if nbytes != sealed["total"]["nbytes"]:
        sys.exit(f"{target}: expected {sealed['total']['nbytes']} bytes")


def main() -> None:
    """Open every file of the list, then list the folder that holds the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    for name, what in FILES.items():
        show(options.corpus / name, what, options.out)
    console.print(Rule("[bold]everything below one folder"))
    run("list", options.out)


if __name__ == "__main__":
    main()
