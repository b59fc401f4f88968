"""A local folder of transformers, as ``save_pretrained`` writes it; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ckptkit.plugin import errors

LAYOUT = "a folder that save_pretrained of transformers wrote"


def require_file(folder: Path, name: str, option: str) -> Path:
    """Return a file of the folder. ``option``: the one that named it. Raises: NotFoundError."""
    if not folder.is_dir():
        raise errors.NotFoundError(
            folder, "is no folder here", f"{LAYOUT}; nothing is downloaded",
            f"if it was moved, say where it is now: {option} FOLDER",
        )  # fmt: skip
    if not (folder / name).is_file():
        raise errors.NotFoundError(
            folder, f"has no {name}", LAYOUT,
            "let model and tokenizer write themselves into it with save_pretrained()",
        )  # fmt: skip
    return folder / name


def hub_config(folder: Path, option: str, *, has: str, what: str) -> Any:
    """Read a model's configuration; one without the setting ``has`` is not ``what`` is wanted.

    Of a model of two towers ``has`` may be in either. Raises: NotFoundError; MismatchError.
    """
    from transformers import AutoConfig

    path = require_file(folder, "config.json", option)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as exc:
        kind = _kind_in(path)
        raise errors.MismatchError(
            path, f"is of a model of the type {kind!r}, which transformers does not open", what, ""
        ) from exc
    towers = (config, *(getattr(config, f"{one}_config", None) for one in ("vision", "text")))
    if any(hasattr(tower, has) for tower in towers):
        return config
    raise errors.MismatchError(
        path, f"is of a model of the type {config.model_type!r}", what, f"give {option} another"
    )


def _kind_in(path: Path) -> object:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return stored.get("model_type") if isinstance(stored, dict) else None


def home_of(kind: str) -> Any:
    """What opens a model of this type: of one that reads and writes the half that reads."""
    from transformers import AutoModel, AutoModelForTextEncoding

    return AutoModelForTextEncoding if kind.endswith("t5") else AutoModel


def require_places(config: Any, length: int, option: str, where: object) -> None:
    """Refuse texts that are longer than an encoder can number. Raises: SettingError."""
    most = getattr(config, "max_position_embeddings", None)
    # what numbers its places from behind the padding, as RoBERTa does, has fewer
    first = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    if isinstance(most, int) and 0 < most - first < length:
        raise errors.SettingError(
            option, f"is {length}", f"at most {most - first}, which the encoder in {where} reads",
            f"give {option} {most - first}",
        )  # fmt: skip
