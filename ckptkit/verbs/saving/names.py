"""What sections and files may be called, checked before anything is captured or written."""

from __future__ import annotations

from collections.abc import Mapping

from ckptkit.errors import ManifestError, UnrepresentableError, UnsafePathError
from ckptkit.schema import FileEntry
from ckptkit.schema.validate import SECTION_VERSIONS, check_file_name, check_files
from ckptkit.verbs.layout import data_name
from ckptkit.verbs.seal import SealPlan


def check_sections(state: Mapping[str, object]) -> None:
    """Accept names that a file can have, different even where case does not count.

    Raises: UnrepresentableError for a state that is no mapping of names; UnsafePathError.
    """
    if not isinstance(state, Mapping):
        raise _no_mapping(state)
    _refuse_one_state(state)
    folded: dict[str, str] = {}
    for name in state:
        if type(name) is not str:
            raise UnrepresentableError(
                "state", f"a section named {name!r:.80}", "a name that is a string"
            )
        if "/" in name or not name:
            raise UnsafePathError("state", f"a section named {name!a:.80}", "a plain file name")
        check_file_name(data_name(name), "state")
        check_file_name(name, "state")
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise UnsafePathError(
                "state", f"the sections {other!a:.80} and {name!a:.80}",
                "names that differ where case does not count", "rename one of them",
            )  # fmt: skip


def _no_mapping(state: object) -> UnrepresentableError:
    name = "optimizer" if hasattr(state, "param_groups") else "model"
    return UnrepresentableError(
        "state", f"a {type(state).__name__}", "a mapping of section names to objects or data",
        f'write save(path, {{"{name}": {name}, ...}})',
    )  # fmt: skip


def _refuse_one_state(state: Mapping[str, object]) -> None:
    """Refuse what ``state_dict()`` of one object gave: each tensor would be a section."""
    if "param_groups" in state and "state" in state:
        raise _one_state("an optimizer", "optimizer")
    names = [name for name in state if isinstance(name, str)]
    tensors = [hasattr(value, "dtype") and hasattr(value, "shape") for value in state.values()]
    if not tensors or not all(tensors):
        return
    if hasattr(state, "_metadata") or any("." in name for name in names):
        raise _one_state("a module", "model")


def _one_state(whose: str, name: str) -> UnrepresentableError:
    return UnrepresentableError(
        "state", f"the state_dict of {whose} itself", "a mapping of section names to such states",
        f'write save(path, {{"{name}": {name}, ...}}): the object itself, under a section\'s name',
    )  # fmt: skip


def check_versions(versions: Mapping[str, int], state: Mapping[str, object], trainer: str) -> None:
    """Accept versions of sections that are there. Raises: UnrepresentableError."""
    for name, version in versions.items():
        if name not in state:
            raise UnrepresentableError(
                f"versions/{name}", "is the version of no section of the state",
                f"one of {', '.join(map(str, state))}",
            )  # fmt: skip
        if type(version) is not int or version < 1:
            raise UnrepresentableError(f"versions/{name}", f"{version!r:.40}", "an integer from 1")
        if not trainer and version > SECTION_VERSIONS.get(name, version):
            raise UnrepresentableError(
                f"versions/{name}", f"version {version} of a section of ckptkit's own layout",
                f"{SECTION_VERSIONS[name]}", "name the trainer whose layout it is: trainer=...",
            )  # fmt: skip
    if not trainer.isprintable():
        raise UnrepresentableError("trainer", f"{trainer!a:.80}", "a printable name")


def check_plan(plan: SealPlan) -> None:
    """Accept files that all keep their names. Raises: UnsafePathError."""
    for safe, name in plan.renamed_files.items():
        raise UnsafePathError(
            "side_files", f"{name!a:.200} is the name of another file of the checkpoint",
            "a free name", f"name it {safe!a:.200}, for example",
        )  # fmt: skip
    try:
        check_files([FileEntry(file.name, file.nbytes, file.kind) for file in plan.files], "state")
    except ManifestError as exc:
        raise UnsafePathError(
            "state", exc.seen, "different names for all files", "rename a section"
        ) from exc
