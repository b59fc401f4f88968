"""Which names of a pickle stream would do harm if somebody unpickled it, and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ckptkit.danger_names import (
    DANGEROUS_MODULES,
    DANGEROUS_NAMES,
    DANGEROUS_PACKAGES,
    FORMER_STDLIB,
    HARMLESS,
    MEMORY_FORMATS,
    STDLIB_PACKAGES,
    TELLTALE_NAMES,
    THROUGH,
)
from ckptkit.nodes import GlobalName, Node, Record
from ckptkit.protocols import GlobalUse

MAX_NAME_CHARS = 1_000  # a longer name is no name; judging it would only cost time
LEVELS = ("dangerous", "suspicious", "unknown", "known")  # worst first

# Letters of other scripts that look like a Latin one; with NFKC this covers what people can see.
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕԁһкмтвнгпԛԝοανρτυικεηγАВЕНКМОРСТХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡⅼ",
    "aeopcyxijsdhkmtbhrnqwoavptuikenyABEHKMOPCTXIJSABEZHIKMNOPTYXigl",
)
_ROOTS = frozenset(("torch", "numpy", "pandas", "joblib", "scipy", "sympy", "transformers"))
_DATA_MODULES = frozenset(("torch.cuda", "torch.storage", "torch._utils"))
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))


class Judgement(NamedTuple):
    """A level of ``LEVELS`` and the reason for it, in words."""

    level: str
    reason: str


_HARMLESS = Judgement("known", "data, or harmless to make")


def classify(module: str, qualname: str, how: str = "named") -> Judgement:
    """Judge one name. ``how`` is "named", "called" or "built"; naming is enough to be dangerous."""
    if len(module) + len(qualname) > MAX_NAME_CHARS:
        return Judgement("suspicious", "a name of absurd length")
    return _classify(module, qualname, how)


@lru_cache(maxsize=4096)
def _classify(module: str, qualname: str, how: str) -> Judgement:
    if module == "copyreg" and qualname.startswith("extension "):
        return Judgement("suspicious", "an extension code stands for a name kept outside the file")
    odd = _odd_text(module, qualname)
    if odd is not None:
        return odd
    module, qualname = _modern(module, qualname)
    if qualname in HARMLESS.get(module, ()):
        return _HARMLESS
    if qualname in MEMORY_FORMATS and not is_stdlib(module):
        return _HARMLESS
    parts, top = qualname.split("."), module.partition(".")[0]
    if not all(part.isidentifier() for part in (*parts, *module.split("."))):
        return Judgement("suspicious", "no name that Python code could have")
    through = _reached_through(module, parts)
    if through is not None:
        return through
    if is_stdlib(module):
        if len(parts) > 1 and parts[0] in HARMLESS.get(module, ()) and not _is_dunder(parts[-1]):
            return _attribute_of_harmless(module, parts)
        return Judgement("dangerous", f"{top!r} is of the standard library and no data")
    return _judge_package(module, parts, top, how)


def judge(use: GlobalUse) -> Judgement:
    """Judge a name as a stream used it."""
    found = classify(use.module, use.qualname, use.how)
    if use.harmless and found.level == "dangerous":
        return Judgement("unknown", "only with arguments that make it harmless")
    return found


def excuses(qualname: str, args: Sequence[Node]) -> bool:
    """Whether these arguments make a call harmless that is dangerous, or not, by them alone.

    A partial of, an attribute of or an iterator over something that is itself no danger.
    """
    if not args:
        return False
    if qualname == "getattr":
        return len(args) == 2 and _is_plain_attribute(args[0], args[1])
    if qualname == "partial":
        return _is_strangers(args[0])
    if qualname == "getitem":
        return len(args) == 2 and type(args[0]) is GlobalName and args[0].module == "typing"
    return qualname in ("iter", "type") and len(args) == 1


def _is_strangers(node: Node) -> bool:
    """Whether a node is, or was made by, a class or function of some package, or is harmless."""
    name = node if type(node) is GlobalName else node.name if isinstance(node, Record) else None
    if name is None or not name.module:
        return False
    return classify(name.module, name.qualname).level in ("unknown", "known")


def _is_plain_attribute(owner: Node, attribute: Node) -> bool:
    if type(attribute) is not str or not attribute.isidentifier() or attribute.startswith("__"):
        return False
    name = owner if type(owner) is GlobalName else getattr(owner, "name", None)
    if type(name) is GlobalName and f"{name.qualname}.{attribute}" in HARMLESS.get(name.module, ()):
        return True
    if type(name) is not GlobalName or not _is_strangers(owner):
        return False
    if is_stdlib(name.module) or attribute in THROUGH:
        return False
    return classify(name.module, f"{name.qualname}.{attribute}").level == "unknown"


def is_stdlib(module: str) -> bool:
    """Whether a module is part of Python itself, of any version."""
    top, _, below = module.partition(".")
    if top not in sys.stdlib_module_names and top not in FORMER_STDLIB:
        return False
    return not below or top in STDLIB_PACKAGES


def worst(judgements: list[Judgement]) -> str:
    """The worst level among them; "known" for none."""
    ranks = [LEVELS.index(judgement.level) for judgement in judgements]
    return LEVELS[min(ranks)] if ranks else "known"


def _judge_package(module: str, parts: list[str], top: str, how: str) -> Judgement:
    if top in DANGEROUS_PACKAGES:
        return Judgement("dangerous", f"the package {top!r} runs commands, fetches or unpickles")
    if (module, parts[0]) in DANGEROUS_NAMES:
        return Judgement("dangerous", "loads, runs or writes something when it is called")
    for dangerous in _ancestors(module):
        if dangerous in DANGEROUS_MODULES:
            return Judgement("dangerous", f"{dangerous!r} runs commands, fetches or unpickles")
    if "__main__" in module.split(".")[1:]:
        return Judgement("dangerous", "the entry point of a program")
    if parts[-1] in TELLTALE_NAMES:
        return Judgement("dangerous", f"a function called {parts[-1]!r}")
    if any(map(_is_dunder, parts)) or any(_is_dunder(part) for part in module.split(".")[1:]):
        return Judgement("suspicious", "reaches an internal attribute of Python objects")
    if how == "called":
        return Judgement("unknown", "a class or function of a package: an unpickler would call it")
    return Judgement("unknown", "a class or function of a package")


def _ancestors(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts) + 1)]


def _attribute_of_harmless(module: str, parts: list[str]) -> Judgement:
    """``datetime.fromtimestamp``, ``Path.write_text``: a method of a type that is data."""
    return Judgement("dangerous", f"a method of {module}.{parts[0]}, which no data needs")


def _reached_through(module: str, parts: list[str]) -> Judgement | None:
    """``torch.hub`` with ``os.system``: the attribute chain walks into another module."""
    for index, part in enumerate(parts[:-1]):
        if part in THROUGH:
            target = ".".join(parts[index + 1 :])
            return Judgement("dangerous", f"reaches {part}.{target} through {module}")
    for index, part in enumerate((module, *parts[:-1])):
        if len(parts) > 1 and (index == 0 or part in _ROOTS):
            # "torch" with "hub.load" is "torch.hub" with "load"
            inner = classify(".".join((module, *parts)[index:-1]), parts[-1])
            if inner.level == "dangerous":
                return Judgement("dangerous", f"{inner.reason}, reached through {module}")
    if len(parts) > 1 and _is_tensor_data(module, parts[0]):
        return Judgement("suspicious", f"an attribute of {parts[0]}, which no data needs")
    return None


def _is_tensor_data(module: str, name: str) -> bool:
    """Whether a name is a storage type or a rebuilder: callers of their methods want files."""
    if name not in HARMLESS.get(module, ()):
        return False
    return module in _DATA_MODULES or (module == "torch" and name.endswith("Storage"))


def _is_dunder(part: str) -> bool:
    return len(part) > 4 and part.startswith("__") and part.endswith("__")


def _modern(module: str, qualname: str) -> tuple[str, str]:
    """The name under which Python 3 finds what Python 2 called so, as its unpickler does."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    if (module, qualname) in NAME_MAPPING:
        return NAME_MAPPING[module, qualname]
    if module == "exceptions":
        return "builtins", qualname
    return IMPORT_MAPPING.get(module, module), qualname


def _odd_text(module: str, qualname: str) -> Judgement | None:
    """Judge names that are not what they look like."""
    text = f"{module}.{qualname}"
    if text.isascii() and text.isprintable() and " " not in text:
        if not module or not qualname or module.strip(".") != module:
            return Judgement("suspicious", "a name without a module, or a module without a name")
        return None
    import unicodedata

    hidden = [char for char in text if unicodedata.category(char) in _INVISIBLE]
    plain = "".join(char for char in text if char not in hidden)
    plain = unicodedata.normalize("NFKC", plain).translate(_LOOK_ALIKES)
    if hidden:
        before_nul = (module.partition("\0")[0], qualname.partition("\0")[0])
        for guess in (before_nul, tuple(plain.rpartition(".")[::2])):
            if all(part.isidentifier() for part in ".".join(guess).split(".")):
                found = classify(*guess)
                if found.level == "dangerous":
                    return Judgement("dangerous", f"a hidden character in {'.'.join(guess)}")
        return Judgement("suspicious", "a name with an invisible or control character")
    if plain.isascii() and plain != text:
        return Judgement("suspicious", f"letters of another script that look like {plain!r}")
    if _mixes_scripts(text):
        return Judgement("suspicious", "a name that mixes scripts")
    return None


def _mixes_scripts(text: str) -> bool:
    """Whether one part has Latin letters beside Greek or Cyrillic ones."""
    import unicodedata

    for part in text.split("."):
        scripts = {unicodedata.name(char, "?").split()[0] for char in part if char.isalpha()}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK"}:
            return True
    return False
