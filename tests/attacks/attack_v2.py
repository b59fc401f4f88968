"""Sealed folders whose manifest lies, with a digest that fits the lie."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from tests.attacks.build_folder import safetensors_pair, v2, v2_body
from tests.attacks.case import Case, folder_of

Body = dict[str, Any]


def lies() -> Iterator[tuple[str, str, Any, str]]:
    """Rows of (title, path in the body, the lie, outcome)."""
    for index, name in enumerate((
        "../x.safetensors", "/etc/hostname", "a/../../x", "", ".", "a\0b", "C:\\x", "\x1b[2J", "missing.safetensors",
        "manifest.msgpack", "MODEL.safetensors", "x" * 5000, "~/x", "config.json ", 5, None, ["a"], b"model.safetensors",
    )):  # fmt: skip
        yield f"file-name-{index}", "files.0.0", name, "refused"
    for title, place, value in (
        ("file-size", "files.0.1", 5), ("file-size-negative", "files.0.1", -1), ("file-size-huge", "files.0.1", 2**64 - 1),
        ("file-kind", "files.0.2", "evil"), ("file-kind-side", "files.0.2", "side"), ("file-digest-length", "files.0.3", b"x"),
        ("file-entry-short", "files.0", ["model.safetensors"]), ("files-not-list", "files", {}), ("files-none", "files", []),
        ("start-negative", "tensors.starts", [-16, 0]), ("start-header", "tensors.starts", [0, 16]),
        ("stop-outside", "tensors.stops", [2**40, 2**40]), ("stop-huge", "tensors.stops", [2**63, 2**63]),
        ("stop-before-start", "tensors.stops", [0, 0]), ("starts-short", "tensors.starts", [1]),
        ("starts-text", "tensors.starts", ["0", "1"]), ("starts-float", "tensors.starts", [0.0, 1.0]),
        ("overlap", "tensors.starts", [None, None]), ("files-outside", "tensors.files", [7, 7]),
        ("files-negative", "tensors.files", [-1, -1]), ("files-text", "tensors.files", "00"),
        ("files-side", "tensors.files", [1, 1]), ("dims-negative", "tensors.dims", [-4, 2, 2]),
        ("dims-huge", "tensors.dims", [2**63, 2, 2]), ("dims-overflow", "tensors.dims", [4, 2**62, 2**62]),
        ("dims-short", "tensors.dims", [4]), ("dims-long", "tensors.dims", [4] * 50), ("dims-text", "tensors.dims", "abc"),
        ("ranks-huge", "tensors.ranks", b"\xff\xff"), ("ranks-short", "tensors.ranks", b"\1"),
        ("ranks-text", "tensors.ranks", "12"), ("dtype-unknown", "tensors.dtypes", [["evil"], b"\0\0"]),
        ("dtype-index", "tensors.dtypes", [["float32"], b"\5\0"]), ("dtype-none", "tensors.dtypes", [[], b"\0\0"]),
        ("dtype-wider", "tensors.dtypes", [["float64"], b"\0\0"]), ("dtype-text", "tensors.dtypes", "float32"),
        ("names-twice", "tensors.names", ["a", "a"]), ("names-numbers", "tensors.names", [1, 2]),
        ("names-short", "tensors.names", ["a"]), ("names-unhashable", "tensors.names", [[], []]),
        ("digests-short", "tensors.digests", b"x"), ("digests-text", "tensors.digests", "x" * 32),
        ("flavours-outside", "tensors.flavours", b"\xff\xff"), ("flavours-short", "tensors.flavours", b""),
        ("count-huge", "tensors.count", 2**60), ("count-negative", "tensors.count", -1), ("count-text", "tensors.count", "2"),
        ("count-more", "tensors.count", 3), ("tensors-list", "tensors", []), ("tensors-empty", "tensors", {}),
        ("strides-negative", "tensors.strides", [[1, [-1, 2]]]), ("strides-row", "tensors.strides", [[9, [1, 2]]]),
        ("strides-huge", "tensors.strides", [[1, [2**63, 2**63]]]), ("strides-rank", "tensors.strides", [[1, [1]]]),
        ("strides-junk", "tensors.strides", 5), ("shared-row", "tensors.shared", [[16, [[9, 0]]]]),
        ("shared-outside", "tensors.shared", [[16, [[0, 2**40]]]]), ("shared-junk", "tensors.shared", [[[[]]]]),
        ("schema-newer", "schema", 3), ("schema-huge", "schema", 2**63), ("schema-text", "schema", "2"),
        ("schema-true", "schema", True), ("format", "format", "other"), ("writer-bytes", "writer", b"\xff"),
        ("created-number", "created", 5), ("sections-map", "sections", {}), ("section-short", "sections.0", ["model"]),
        ("section-version", "sections.0.1", 99), ("section-version-zero", "sections.0.1", 0),
        ("section-twice", "sections.1.0", "model"), ("section-name-escape", "sections.1.0", "\x1b[2J"),
        ("section-name-empty", "sections.1.0", ""),
    ):  # fmt: skip
        soft = {
            "shared-row",
            "shared-outside",
            "shared-junk",
            "strides-negative",
            "strides-huge",
            "files-none",
        }
        yield title, place, value, "any" if title in soft else "refused"
    yield from tokens()


def tokens() -> Iterator[tuple[str, str, Any, str]]:
    """Token lists that are no tree."""
    rows: dict[str, Any] = {
        "empty": [], "two-roots": [1, 2], "leaf-outside": [[6, 9]], "leaf-negative": [[6, -1]], "leaf-text": [[6, "0"]],
        "leaf-huge": [[6, 2**63]], "leaf-none": [[6]], "map-short": [[1, 0, 5], "a"], "map-negative": [[1, 0, -1]],
        "map-huge": [[1, 0, 2**63]], "map-lies": [[1, 0, 2**31], "a", 1], "kind-outside": [[1, 99, 0]], "kind-negative": [[1, -1, 0]],
        "code-unknown": [[99]], "code-text": [["1", 0, 0]], "code-empty": [[]], "code-nested": [[[1, 0, 0]]],
        "code-float": [[1.0, 0, 0]], "code-negative": [[-1, 0, 0]], "map-in-token": [{"a": 1}], "seq-huge": [[2, 0, 2**40]],
        "back-reference": [[9, 0]], "back-outside": [[1, 0, 1], "a", [9, 5]], "key-map": [[1, 0, 1], [1, 0, 0], 5],
        "key-list": [[1, 0, 1], [2, 0, 0], 5], "key-twice": [[1, 0, 2], "a", 1, "a", 2], "key-nan": [[1, 0, 1], float("nan"), 1],
        "key-leaf": [[1, 0, 1], [6, 0], 5], "deep": [[2, 0, 1]] * 100_000 + [1], "deep-unclosed": [[2, 0, 1]] * 100_000,
        "wide": [[2, 0, 300_000]] + [0] * 300_000, "every-code": [[code, 0, 0] for code in range(40)],
    }  # fmt: skip
    for code in range(30):
        rows[f"code-{code}"] = [[code, 0, 1], "a", 1]
        rows[f"code-{code}-many"] = [[code, 2**62, 2**62, 2**62]]
        rows[f"code-{code}-text"] = [[code, "x", b"y", None]]
    for title, value in rows.items():
        yield f"tokens-{title}", "sections.2.2", value, "any"


def changed(place: str, value: Any) -> Body:
    """The honest body with one thing replaced."""
    body = copy.deepcopy(v2_body())
    target: Any = body
    *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    for step in way:
        target = target[step]
    if value == [None, None]:
        value = [target[last][0]] * 2
    target[last] = value
    return body


def cases() -> Iterator[Case]:
    """All of them; the honest folder with one thing changed."""
    group = "half-written stage"
    for title, place, value, outcome in lies():
        which = "folder traversal" if title.startswith("file-name") else "manifest"
        body = msgpack.packb(changed(place, value))
        yield Case(f"v2-{title}", which, folder_of(v2(body)), outcome=outcome)
    others: dict[str, Callable[[], dict[str, bytes]]] = {
        "missing-data": lambda: {k: v for k, v in v2().items() if k != "model.safetensors"},
        "missing-side": lambda: {k: v for k, v in v2().items() if k != "config.json"},
        "cut-data": lambda: v2(**{"model.safetensors": safetensors_pair()[:-1]}),
        "longer-data": lambda: v2(**{"model.safetensors": safetensors_pair() + b"x"}),
        "empty-data": lambda: v2(**{"model.safetensors": b""}),
        "other-side": lambda: v2(**{"config.json": b"[1, 2, 3]"}),
    }
    for title, make in others.items():
        yield Case(f"v2-{title}", group, folder_of(make()), outcome="refused")
    stranger = v2(**{"evil.pt": b"\x80\x02cposix\nsystem\nX\1\0\0\0a\x85R."})
    yield Case("v2-stranger", group, folder_of(stranger))
