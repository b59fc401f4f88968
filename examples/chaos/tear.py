"""Cut in half what a killed save was writing, then run the command that resumes.

``python tear.py OUT COMMAND...``. ckpt-chaos tears files that Python's ``open`` or ``torch.save``
writes; a save of ckptkit writes by ``os.open``, in several threads, so this does it for those.
"""

import os
import sys
from pathlib import Path


def tear(out: Path) -> int:
    """Halve every file in a stage that was left; what has a second name is sealed elsewhere."""
    torn = 0
    for stage in out.rglob(".*.stage-*"):
        for path in stage.rglob("*"):
            if path.is_file() and path.stat().st_nlink == 1:
                os.truncate(path, path.stat().st_size // 2)
                torn += 1
    return torn


if __name__ == "__main__":
    print(f"{tear(Path(sys.argv[1]))} files torn", flush=True)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the command that was asked for
