"""``script.py`` in two forks of a launcher of torch's own: what torchrun does, without new imports."""

import sys
from pathlib import Path

from ckptkit.testing.trainings import train_together

sys.path.insert(0, str(Path(__file__).parent))
from script import main

if __name__ == "__main__":
    try:
        train_together(2, main)
    except Exception as exc:
        sys.exit(f"{type(exc).__name__}: {exc}")
