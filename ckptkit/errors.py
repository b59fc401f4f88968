"""The whole exception tree: every failure a user can meet, each kind with its own exit code.

::

    CkptkitError
    ├── InputError               what was named cannot be a checkpoint
    │   ├── NotFoundError 3            ├── AccessDeniedError 4      ├── EmptyFileError 5
    │   ├── UnknownFormatError 6       ├── LfsPointerError 7        ├── HtmlPageError 8
    │   ├── ForeignFormatError 9       ├── NoCheckpointError 10     ├── FactoryError 11
    │   └── SettingError 12
    ├── ContainerError           it is one, but its bytes do not keep their own promises
    │   ├── TruncatedFileError 20      ├── CorruptFileError 21      ├── ChecksumError 22
    │   ├── PickleStreamError 23       ├── TensorBoundsError 24     ├── LimitExceededError 25
    │   ├── UnsafePathError 26         └── UnfinishedError 27
    ├── SchemaError              its bytes are whole, its document is not ours to read
    │   ├── NewerSchemaError 30        ├── ManifestError 31         ├── MigrationError 32
    │   └── UnrepresentableError 33
    ├── DialectError             nobody can say what its keys mean
    │   ├── UnknownDialectError 34     └── AmbiguousDialectError 35
    ├── RestoreError             it can be read, but does not fit what it is to fill
    │   ├── MismatchError 36           ├── CoverageError 37         ├── OptimizerMatchError 38
    │   └── SettingConflictError 39
    ├── StorageError             the destination refused
    │   ├── DiskFullError 40           ├── WriteFailedError 41      ├── TargetExistsError 42
    │   └── LockedError 43
    ├── PluginError
    │   ├── PluginConflictError 50     ├── MissingExtraError 51     ├── UnknownTrainerError 52
    │   ├── TrainerError 53            └── TrainingError 54
    └── FindingsError            the command worked, and found what it was asked to look for
        ├── DangerFoundError 60        ├── DamageFoundError 61      ├── LossFoundError 62
        └── DifferenceFoundError 1

Exit code 0 is success, 2 a usage error (click's), 70 a defect of ckptkit itself, 130 Ctrl+C.
Every message says where, what was seen, what was expected and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class CkptkitError(Exception):
    """Anything that ckptkit refuses to do, said in one paragraph.

    Subclasses take ``where`` (a path, or a place inside one), ``seen``, ``expected`` and
    ``advice``; the four are the message, and they pickle across worker processes.
    """

    exit_code: ClassVar[int] = 70
    rescue: str = ""  # what may still help where the bytes are damaged

    def __init__(self, where: object, seen: str, expected: str = "", advice: str = "") -> None:
        super().__init__(where, seen, expected, advice)
        self.where, self.seen = str(where), seen
        self.expected, self.advice = expected, advice

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.seen}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.all_advice:
            parts.append(self.all_advice)
        return "; ".join(parts)

    @property
    def all_advice(self) -> str:
        """What to do next, and the command that saves the rest where bytes are damaged."""
        return "; ".join(part for part in (self.advice, self.rescue) if part)

    @property
    def kind(self) -> str:
        """The name of this kind of failure, as ``--json`` prints it."""
        return type(self).__name__.removesuffix("Error")


RESCUE = "`ckptkit recover` saves what is still whole of it"


class InputError(CkptkitError):
    """What was named cannot be a checkpoint."""


class NotFoundError(InputError):
    """There is nothing at this path."""

    exit_code = 3


class AccessDeniedError(InputError):
    """The operating system does not let us read or write there."""

    exit_code = 4


class EmptyFileError(InputError):
    """The file has no bytes at all."""

    exit_code = 5


class UnknownFormatError(InputError):
    """The first bytes belong to no container that is registered."""

    exit_code = 6


class LfsPointerError(InputError):
    """The file is a Git LFS pointer: the text that stands for the real file."""

    exit_code = 7


class HtmlPageError(InputError):
    """The file is a web page: a download that returned an error page."""

    exit_code = 8


class ForeignFormatError(InputError):
    """A model format that we can name, but that is no PyTorch checkpoint."""

    exit_code = 9


class NoCheckpointError(InputError):
    """The folder, and what lies below it, holds no checkpoint, or none that is whole."""

    exit_code = 10


class FactoryError(InputError):
    """``module:factory`` names nothing that makes a model, or what it names failed."""

    exit_code = 11


class SettingError(InputError):
    """A setting of a trainer has no such name, or cannot have this value."""

    exit_code = 12


class ContainerError(CkptkitError):
    """The bytes do not keep the promises that they make themselves."""


class TruncatedFileError(ContainerError):
    """The file ends before the bytes that its own header promises."""

    exit_code = 20
    rescue = RESCUE


class CorruptFileError(ContainerError):
    """The structure contradicts itself: overlaps, holes, duplicates, impossible lengths."""

    exit_code = 21
    rescue = RESCUE


class ChecksumError(ContainerError):
    """The bytes do not have the checksum that was recorded for them."""

    exit_code = 22
    rescue = RESCUE


class PickleStreamError(ContainerError):
    """A pickle stream is not one: bad opcode, stack underflow, no end."""

    exit_code = 23
    rescue = RESCUE


class TensorBoundsError(ContainerError):
    """A tensor's offset, strides, size or indices leave its storage."""

    exit_code = 24


class LimitExceededError(ContainerError):
    """A named limit (``ckptkit.types.Limits``) was reached; an option raises it."""

    exit_code = 25


class UnsafePathError(ContainerError):
    """A name inside the checkpoint points outside of it, or through a link."""

    exit_code = 26


class UnfinishedError(ContainerError):
    """A save that never finished: a stage, or a Trainer's folder without what is written last."""

    exit_code = 27
    rescue = RESCUE


class SchemaError(CkptkitError):
    """The bytes are whole, but the document in them cannot be used."""


class NewerSchemaError(SchemaError):
    """Written by a newer schema than this version of ckptkit knows."""

    exit_code = 30


class ManifestError(SchemaError):
    """The manifest breaks docs/format.md."""

    exit_code = 31
    rescue = RESCUE


class MigrationError(SchemaError):
    """A migrator could not do its step, or its result was not equal to its source."""

    exit_code = 32


class UnrepresentableError(SchemaError):
    """A value in the state is no data: it is refused at save, with its path."""

    exit_code = 33


class DialectError(CkptkitError):
    """Nobody can say with certainty what the keys mean."""


class UnknownDialectError(DialectError):
    """No dialect has this name, or none recognises the tree."""

    exit_code = 34


class AmbiguousDialectError(DialectError):
    """Two dialects claim the tree with the same score."""

    exit_code = 35


class RestoreError(CkptkitError):
    """The checkpoint can be read, but does not fit what it is to fill.

    ``report`` is the LoadReport of what would have happened, where one was made; the message
    ends with its text. Nothing was changed.
    """

    report: object = None

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.report is None else f"{said}\n\n{self.report}"


class MismatchError(RestoreError):
    """Names or shapes differ, or a whole component is absent, and the policy allows none of it."""

    exit_code = 36


class CoverageError(RestoreError):
    """Less would be loaded than the policy demands; loading nothing is always too little."""

    exit_code = 37


class OptimizerMatchError(RestoreError):
    """Nothing proves which state of the optimizer belongs to which parameter."""

    exit_code = 38


class SettingConflictError(RestoreError):
    """Settings differ between the checkpoint and the live objects, and ``on_conflict`` is error."""

    exit_code = 39


class StorageError(CkptkitError):
    """The destination could not be written; what was there before is as it was."""


class DiskFullError(StorageError):
    """Fewer bytes are free than the checkpoint needs."""

    exit_code = 40


class WriteFailedError(StorageError):
    """The operating system failed a write, a sync or a rename."""

    exit_code = 41


class TargetExistsError(StorageError):
    """The destination exists already, and replacing it was not asked for."""

    exit_code = 42


class LockedError(StorageError):
    """Another living process holds the folder."""

    exit_code = 43


class PluginError(CkptkitError):
    """A plugin cannot be used."""


class PluginConflictError(PluginError):
    """Two plugins offer a part of the same kind under the same name."""

    exit_code = 50


class MissingExtraError(PluginError):
    """The operation needs an optional dependency that is not installed."""

    exit_code = 51


class UnknownTrainerError(PluginError):
    """No plugin offers a trainer of this name, or it has no such action, or none is named."""

    exit_code = 52


class TrainerError(PluginError):
    """A trainer is not what its plugin says: a module, a name or a setting of it is wrong."""

    exit_code = 53


class TrainingError(PluginError):
    """The code of a trainer failed; the command line shows its traceback above this."""

    exit_code = 54


class FindingsError(CkptkitError):
    """The command did its work, and what it looked for was there."""


class DangerFoundError(FindingsError):
    """``scan`` found something that an unpickler would run or that hides what it is."""

    exit_code = 60


class DamageFoundError(FindingsError):
    """``verify`` found bytes that are not what was written."""

    exit_code = 61


class LossFoundError(FindingsError):
    """``recover`` saved what was whole, and something was not."""

    exit_code = 62


class DifferenceFoundError(FindingsError):
    """``diff`` compared two checkpoints, and they differ: 1, as of diff(1)."""

    exit_code = 1
