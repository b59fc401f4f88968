"""The verb ``verify``: every byte against what was recorded for it, and the damage by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

from ckptkit.errors import ContainerError, LimitExceededError, ManifestError
from ckptkit.nodes import BlobNode, MapNode
from ckptkit.protocols import Check, Opened
from ckptkit.schema import parse_manifest
from ckptkit.types import DEFAULT_LIMITS, MANIFEST_NAME, SEALED_CONTAINER, Limits, Notice
from ckptkit.verbs.open import open_container
from ckptkit.verbs.recovered_mark import marked_in
from ckptkit.verbs.sealed import strangers
from ckptkit.verbs.sealed_checks import sealed_checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What verifying one path came to. ``checked_nbytes`` were compared with something.

    ``same_as``: the checkpoint whose very files these are (hard links), so that they were read
    under its name.
    """

    path: FilePath
    nbytes: int
    container: str
    checks: tuple[Check, ...]
    notices: tuple[Notice, ...] = ()
    same_as: FilePath | None = None

    @property
    def damaged(self) -> tuple[Check, ...]:
        """What is not as it was written."""
        return tuple(check for check in self.checks if check.outcome == "damaged")

    @property
    def verdict(self) -> str:
        """One of damaged, verified (all of it), partly, unverifiable (nothing to check by)."""
        outcomes = {check.outcome for check in self.checks}
        if "damaged" in outcomes:
            return "damaged"
        if "ok" not in outcomes:
            return "unverifiable"
        return "partly" if "unverifiable" in outcomes else "verified"

    @property
    def checked_nbytes(self) -> int:
        """Bytes that have a checksum, and it was compared; at most all that there are.

        What a deflated entry unpacks to is more than the bytes that it takes in the file.
        """
        told = sum(check.nbytes for check in self.checks if check.outcome != "unverifiable")
        return min(told, self.nbytes)

    def methods(self) -> dict[str, int]:
        """How many things were checked by what, the most used first."""
        counts: dict[str, int] = {}
        for check in self.checks:
            if check.outcome == "ok":
                counts[check.by] = counts.get(check.by, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def verify(
    path: FilePath | str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Read every byte below ``path`` and compare; damage is a finding here, not an exception.

    Raises: InputError (there is no checkpoint), LimitExceededError, NewerSchemaError.
    """
    target = FilePath(path)
    try:
        opened = open_container(target, limits)
    except LimitExceededError:
        raise
    except ContainerError as exc:
        return _broken(target, exc)
    try:
        found, nbytes, notices = _what_to_check(opened, limits)
        checks = []
        for check in found:
            checks.append(check)
            if progress is not None:
                progress(check.nbytes)
    except LimitExceededError:
        raise
    except (ContainerError, ManifestError) as exc:
        return _broken(target, exc)
    finally:
        opened.close()
    return Verification(
        path=target,
        nbytes=nbytes,
        container=opened.container,
        checks=tuple(checks),
        notices=notices,
    )


def _what_to_check(
    opened: Opened, limits: Limits
) -> tuple[Iterator[Check], int, tuple[Notice, ...]]:
    """The checks, how many bytes there are to check, and what is to be said beside them.

    Raises: SchemaError, ContainerError: without its manifest nothing sealed can be checked.
    """
    if opened.container != SEALED_CONTAINER:
        return opened.checks(), opened.nbytes, opened.notices
    data = opened.root["manifest"]
    manifest = parse_manifest(data, str(opened.path / MANIFEST_NAME), limits)
    sizes = (blob.nbytes for entry in manifest.files if (blob := _blob(opened, entry.name)))
    notices = (*opened.notices, *strangers(manifest, opened), *marked_in(manifest, limits))
    return sealed_checks(opened, manifest, limits), len(data) + sum(sizes), notices


def _blob(opened: Opened, name: str) -> BlobNode | None:
    files: MapNode = opened.root["files"]
    blob = files.get(name)
    return blob if isinstance(blob, BlobNode) else None


def _broken(path: FilePath, error: ContainerError | ManifestError) -> Verification:
    """What cannot even be opened is damage, too."""
    nbytes = path.stat().st_size if path.is_file() else 0
    wanted = f"expected {error.expected}" if error.expected else ""
    told = "; ".join(filter(None, (error.seen, wanted, error.advice)))
    check = Check(path.name, nbytes, "damaged", "structure", told)
    return Verification(path=path, nbytes=nbytes, container="", checks=(check,))
