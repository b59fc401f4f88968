"""``module:factory`` becomes a live object: the user's own code, imported as ``python -m`` would.

This is the one place where ckptkit runs code that somebody names, and it is the user who names it
on the command line: no name that was read from a checkpoint ever comes here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from ckptkit.errors import FactoryError, MissingExtraError
from ckptkit.verbs.user_fault import user_fault

_MODULE_FORM = "a module, such as pkg.migrators, or a file, such as migrators.py"
_FORM = "module:factory, such as train:make_model, pkg.models:Net.build or train.py:make_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """What to import, what of it to call, and with which arguments.

    ``spec`` is "module:factory"; the module may be a path that ends in ``.py``, the factory an
    attribute of an attribute. ``root`` is the folder that goes first on ``sys.path``. ``option`` is
    where the user named it; ``takes_arguments`` whether he can give it any.
    """

    spec: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    option: str = ""
    form: str = _FORM
    takes_arguments: bool = True

    @property
    def where(self) -> str:
        """What an error is about: ``--optimizer train:make_optimizer``."""
        return f"{self.option} {self.spec}".lstrip()


def build_module(factory: Factory, device: str = "meta") -> Any:
    """Return the ``nn.Module`` that the factory makes, or names (an instance is taken as it is).

    Raises: FactoryError for all that can go wrong with it; MissingExtraError without torch.
    """
    bridge = import_bridge()
    model = _build(factory, device, (), bridge)
    if not bridge.is_module(model):
        raise FactoryError(
            factory.where, f"it gives {_a_kind(model)}", "a torch.nn.Module",
            "name a function or class that returns the model alone",
        )  # fmt: skip
    return model


def build_optimizer(factory: Factory, model: Any, device: str = "meta") -> Any:
    """Return the optimizer that the factory makes of ``model``, its one argument.

    Raises: as ``build_module``.
    """
    bridge = import_bridge()
    optimizer = _build(factory, device, (model,), bridge)
    if not bridge.is_optimizer(optimizer):
        raise FactoryError(
            factory.where, f"it gives {_a_kind(optimizer)}", "a torch.optim.Optimizer",
            "name a function that is given the model and returns its optimizer",
        )  # fmt: skip
    return optimizer


def import_bridge() -> Any:
    """Import what needs torch. Raises: MissingExtraError."""
    try:
        return importlib.import_module("ckptkit.torch_bridge.building")
    except ModuleNotFoundError as exc:
        if exc.name != "torch":
            raise
        raise MissingExtraError(
            "torch", "is not installed, and a model is made of it", "",
            "install ckptkit with its extra: pip install 'ckptkit[torch]'",
        ) from exc  # fmt: skip


def _build(factory: Factory, device: str, first: Sequence[Any], bridge: Any) -> Any:
    fault = bridge.device_fault(device)
    if fault:
        raise FactoryError(f"device {device}", fault, "a device that torch has here", "")
    module_name, _, attribute = factory.spec.rpartition(":")
    if not module_name or not all(part.isidentifier() for part in attribute.split(".")):
        raise FactoryError(factory.where, "it names no factory", _FORM)
    # What the user's code prints must not get between us and who reads our output.
    with _first_on_path(_folders(module_name, factory.root)), redirect_stdout(sys.stderr):
        made = _attribute(_import(module_name, factory), attribute, factory.where)
        if bridge.is_module(made) and not first:
            return made
        if not callable(made):
            raise FactoryError(
                factory.where, f"it is {_a_kind(made)}", "a function or a class",
                "name something that can be called",
            )  # fmt: skip
        return _called(factory, device, lambda: made(*first, *factory.args, **factory.kwargs),
                       bridge.build_on)  # fmt: skip


def _called(
    factory: Factory, device: str, make: Callable[[], Any], build_on: Callable[..., Any]
) -> Any:
    try:
        return build_on(device, make)
    except (Exception, SystemExit) as exc:
        advice = _failed(exc, factory, device)
        raise FactoryError(factory.where, f"it failed: {user_fault(exc)}", "", advice) from exc


def _failed(exc: BaseException, factory: Factory, device: str) -> str:
    """What may help a factory that raised: nothing of ours, where it missed a file or gave up."""
    if isinstance(exc, SystemExit):
        return "name a function that makes the model and parses no command line"
    if isinstance(exc, TypeError) and "argument" in str(exc):
        if factory.takes_arguments:
            return "its arguments can be given: --args '[...]' or --kwargs '{...}'"
        return "name a function that is given the model and nothing else"
    if device == "meta" and not isinstance(exc, (OSError, ImportError)):
        return "where it cannot run on the meta device, --device cpu makes a real model"
    return ""


def _import(name: str, factory: Factory) -> Any:
    """Import a module by its name, or the file that a path names."""
    try:
        if name.endswith(".py"):
            return _import_file(Path(factory.root, name))
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        if (
            isinstance(exc, ModuleNotFoundError)
            and exc.name
            and f"{name}.".startswith(exc.name + ".")
        ):
            raise FactoryError(
                factory.where, f"there is no module {exc.name!r} here", factory.form,
                "run the command where `python -m` would find it, or name the file itself",
            ) from exc  # fmt: skip
        if isinstance(exc, FileNotFoundError) and name.endswith(".py"):
            raise FactoryError(factory.where, f"there is no file {name}", factory.form) from exc
        seen = f"importing it failed: {user_fault(exc)}"
        advice = ""
        if isinstance(exc, SystemExit):
            advice = "put what the script runs under `if __name__ == '__main__':`"
        raise FactoryError(factory.where, seen, "", advice) from exc


class _AsItIs(SourceFileLoader):
    """Compiles a file as it stands, and leaves nothing beside it.

    Python's own cache takes a file that was edited within a second, and kept its length, for
    the old one.
    """

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  it has one module
        return self.source_to_code(self.get_data(self.path), self.path)


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(path)
    # By its own name where that is free: dataclasses and pickles look modules up by name.
    name = path.stem if path.stem not in sys.modules else f"_ckptkit_factory_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItIs(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python source file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(module: Any, dotted: str, spec: str) -> Any:
    found, walked = module, ""
    for part in dotted.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as exc:
            from difflib import get_close_matches

            owner = walked or getattr(module, "__name__", "the module")
            near = get_close_matches(part, [n for n in dir(found) if n[:1] != "_"], 1)
            advice = f"did you mean {near[0]}?" if near else ""
            raise FactoryError(spec, f"{owner} has no {part!r}", "", advice) from exc
        walked = f"{walked}.{part}" if walked else part
    return found


def _folders(module_name: str, root: str) -> list[str]:
    """What goes on ``sys.path``: the folder of a script too, as ``python script.py`` does."""
    if module_name.endswith(".py"):
        return [str(Path(root, module_name).parent), root]
    return [root]


@contextmanager
def _first_on_path(folders: Sequence[str]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [folder for folder in folders if folder]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _a_kind(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def import_named(module: str, root: str = "") -> Any:
    """Return the module that the user names: ``pkg.module``, or a path that ends in ``.py``.

    Raises: FactoryError for all that can go wrong with it.
    """
    factory = Factory(spec=module, root=root, option="--migrators", form=_MODULE_FORM)
    with _first_on_path(_folders(module, root)), redirect_stdout(sys.stderr):
        return _import(module, factory)
