"""Small JSON files beside the checkpoints: whole or absent, for people and notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ckptkit.storage.atomic import stage
from ckptkit.storage.writer import FileToWrite, write_files


def write_json(path: Path, data: Any) -> None:
    """Put ``data`` at ``path`` in one durable step; the old file stays until then.

    Raises: StorageError; ValueError for NaN, TypeError for what is no JSON.
    """
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    whole = text.encode()
    with stage(path, replace=True, needed_nbytes=len(whole), is_file=True) as staged:
        file = FileToWrite(staged.path.name, whole, ())
        write_files(staged.path.parent, [file], workers=1)
        staged.commit()
