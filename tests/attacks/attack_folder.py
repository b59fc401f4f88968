"""Folders whose names, links, indexes and leftovers lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attacks import build_pickle as b
from tests.attacks.build_folder import dcp, dcp_item, dcp_metadata, manifest, sharded
from tests.attacks.build_safetensors import safetensors
from tests.attacks.build_zip import members, torch_zip, write_zip
from tests.attacks.case import Built, Case, Name, file_of, folder_of

EVIL = b.stream(b.os_system())
SYS: tuple[Name, ...] = (("posix", "system"),)


def beside(
    files: dict[str, bytes], then: Callable[[Path], None] | None = None
) -> Callable[[Path], Built]:
    """A folder "case" with a readable stranger beside it: what a traversal would reach."""

    def build(folder: Path) -> Built:
        (folder / "outside").mkdir()
        (folder / "outside" / "secret.safetensors").write_bytes(safetensors())
        (folder / "outside" / "secret.distcp").write_bytes(dcp_item())
        (folder / "secret.safetensors").write_bytes(safetensors())
        built = folder_of(files)(folder)
        if then is not None:
            then(built.path)
        return built

    return build


def traversals() -> Iterator[Case]:
    """Index entries that leave the folder."""
    group = "folder traversal"
    for index, target in enumerate((
        "../secret.safetensors", "../outside/secret.safetensors", "x/../../secret.safetensors", "/etc/hostname",
        "./../secret.safetensors", "..", ".", "", "a\0b", "..\\secret.safetensors", "C:\\x", "\x1b[2J.safetensors",
        "file:///etc/hostname", "~/x", "missing.safetensors", "model.safetensors.index.json", "a" * 300, "/dev/zero",
        "/proc/self/mem",
    )):  # fmt: skip
        files = sharded({"weight": target}, {})
        yield Case(f"folder-traversal-{index}", group, beside(files), outcome="refused")
        only = {
            "model.safetensors.index.json": files["model.safetensors.index.json"],
            "config.json": b"{}",
        }
        only["pytorch_model.bin.index.json"] = only.pop("model.safetensors.index.json")
        yield Case(f"folder-traversal-bin-{index}", group, beside(only), outcome="refused")
    for index, target in enumerate((
        "../outside/secret.distcp", "/etc/hostname", "..", "", "a\0b", "missing.distcp", "/dev/zero", ".metadata", 5, None,
    )):  # fmt: skip
        files = dcp(file=target)
        yield Case(f"folder-traversal-dcp-{index}", group, beside(files), outcome="refused")


def indexes() -> Iterator[Case]:
    """Index files that are not what they should be."""
    group, name = "folder traversal", "model.safetensors.index.json"
    shard = "model-00001-of-00001.safetensors"
    texts = {
        "not-json": b"{", "array": b"[]", "no-map": b"{}", "map-list": b'{"weight_map": []}',
        "map-numbers": b'{"weight_map": {"weight": 5}}', "deep": b'{"weight_map":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "empty-file": b"", "empty-map": b'{"weight_map": {}}',
        "twice": f'{{"weight_map": {{"weight": "{shard}", "weight": "x"}}}}'.encode(),
        "unknown-tensor": json.dumps({"weight_map": {"other": shard}}).encode(),
        "huge-number": b'{"metadata": {"total_size": ' + b"9" * 1_000_000 + b'}, "weight_map": {}}',
        "total-lies": json.dumps({"metadata": {"total_size": 2**70}, "weight_map": {"weight": shard}}).encode(),
        "not-utf8": b'{"weight_map": {"\xff": "x"}}', "nan": b'{"weight_map": NaN}',
    }  # fmt: skip
    for title, text in texts.items():
        yield Case(f"folder-index-{title}", group, beside({**sharded(), name: text}))
    two = sharded(
        {"weight": shard, "bias": "b.safetensors"},
        {shard: safetensors(), "b.safetensors": safetensors()},
    )
    yield Case("folder-index-in-wrong-shard", group, beside(two), outcome="refused")


def links() -> Iterator[Case]:
    """Symlinks, pipes and devices where files should be."""
    group = "folder symlink"

    def link(name: str, target: str) -> Callable[[Path], None]:
        return lambda root: os.symlink(target, root / name)

    shard = "model-00001-of-00001.safetensors"
    bare = sharded(None, {})
    for title, target in (
        ("outside", "../secret.safetensors"), ("device", "/dev/zero"), ("loop", shard), ("missing", "nowhere"),
        ("folder", ".."), ("proc", "/proc/self/environ"),
    ):  # fmt: skip
        yield Case(
            f"folder-link-shard-{title}",
            group,
            beside(bare, link(shard, target)),
            outcome="refused",
        )
        single = {"config.json": b"{}"}
        yield Case(
            f"folder-link-model-{title}",
            group,
            beside(single, link("model.safetensors", target)),
            outcome="refused",
        )
    item = {".metadata": dcp_metadata()}
    yield Case(
        "folder-link-distcp",
        group,
        beside(item, link("__0_0.distcp", "../outside/secret.distcp")),
        outcome="refused",
    )
    yield Case(
        "folder-link-metadata",
        group,
        beside({"__0_0.distcp": dcp_item()}, link(".metadata", "/dev/zero")),
    )
    yield Case("folder-link-config", group, beside(sharded(), link("config.json", "/dev/zero")))
    yield Case(
        "folder-link-config-outside", group, beside(sharded(), link("config.json", "/etc/hostname"))
    )
    yield Case("folder-link-loop-folder", group, beside(sharded(), link("sub", ".")))
    pipe: Callable[[Path], None] = lambda root: os.mkfifo(root / shard)  # noqa: E731
    yield Case("folder-pipe-shard", group, beside(bare, pipe), outcome="refused")
    yield Case(
        "folder-pipe-model",
        group,
        beside({"config.json": b"{}"}, lambda root: os.mkfifo(root / "model.safetensors")),
    )
    yield Case(
        "folder-pipe-manifest",
        group,
        beside({}, lambda root: os.mkfifo(root / "manifest.msgpack")),
        outcome="refused",
    )
    yield Case(
        "folder-pipe-metadata",
        group,
        beside({}, lambda root: os.mkfifo(root / ".metadata")),
        outcome="refused",
    )
    yield Case(
        "folder-is-file",
        group,
        beside({"config.json": b"{}"}, lambda root: (root / "model.safetensors").mkdir()),
    )

    def pipe_alone(folder: Path) -> Built:
        os.mkfifo(folder / "case.pt")
        return Built(folder / "case.pt")

    def link_alone(folder: Path) -> Built:
        os.symlink("/dev/zero", folder / "case.pt")
        return Built(folder / "case.pt")

    yield Case("pipe-alone", group, pipe_alone, outcome="refused")
    yield Case("link-to-device-alone", group, link_alone, outcome="refused")


def metadata() -> Iterator[Case]:
    """torch.distributed.checkpoint folders: payloads and geometry."""
    group = "payload in .metadata"
    yield Case(
        "dcp-evil-metadata",
        group,
        folder_of({**dcp(), ".metadata": EVIL}),
        names=SYS,
        alarm=True,
        live=EVIL,
    )
    system = b.name("posix", "system")
    yield Case("dcp-evil-extra", group, folder_of(dcp(extra=b.os_system())), names=SYS, alarm=True)
    yield Case("dcp-evil-named", group, folder_of(dcp(extra=system)), names=SYS, alarm=True)
    yield Case("dcp-evil-path", group, folder_of(dcp(file=b.os_system())), names=SYS, alarm=True)
    yield Case(
        "dcp-evil-item",
        group,
        folder_of(dcp(torch_zip(EVIL), length=len(torch_zip(EVIL)))),
        names=SYS,
        alarm=True,
    )
    hidden = write_zip([*members(b.stream(b.tensor())), *members(EVIL, root="x")[:1]])
    yield Case("dcp-evil-entry", group, folder_of(dcp(hidden, length=len(hidden))))
    yield Case("dcp-evil-behind", group, folder_of(dcp(dcp_item() + EVIL)))
    yield Case("dcp-evil-other-rank", group, folder_of({**dcp(), "__1_0.distcp": torch_zip(EVIL)}))
    bounds: dict[str, dict[str, object]] = {
        "start-outside": {"start": 2**40}, "start-negative": {"start": -4}, "length-outside": {"length": 2**40},
        "length-negative": {"length": -4}, "length-short": {"length": 40}, "length-huge": {"length": 2**70},
        "start-text": {"start": "0"}, "shape-larger": {"shape": (8,)}, "shape-huge": {"shape": (2**60,)},
        "shape-negative": {"shape": (-4,)}, "chunk-outside": {"chunks": (((2,), (4,)),)},
        "chunk-negative": {"chunks": (((-2,), (4,)),)}, "chunk-rank": {"chunks": (((0, 0), (2, 2)),)},
        "chunk-size": {"chunks": (((0,), (3,)),)}, "chunk-none": {"chunks": ()}, "chunk-unstored": {"stored": ()},
        "chunk-twice": {"chunks": (((0,), (4,)), ((0,), (4,)))}, "chunk-overlap": {"shape": (6,), "chunks": (((0,), (4,)), ((2,), (4,)))},
        "chunk-huge-count": {"shape": (4,), "chunks": (((0,), (4,)),) * 20_000, "stored": ((0,),)},
    }  # fmt: skip
    for title, fields in bounds.items():
        soft = {"chunk-twice", "chunk-huge-count"}
        yield Case(
            f"dcp-{title}",
            "tensor bounds",
            folder_of(dcp(**fields)),
            outcome="any" if title in soft else "refused",
        )
    bin_file = {"config.json": b"{}", "pytorch_model.bin": torch_zip(EVIL)}
    yield Case("hf-evil-bin", "gadget", folder_of(bin_file), names=SYS, alarm=True)
    both = {
        "config.json": b"{}",
        "model.safetensors": safetensors(),
        "optimizer.pt": EVIL,
        "training_args.bin": torch_zip(EVIL),
    }
    yield Case("hf-evil-beside-safetensors", "gadget", folder_of(both), names=SYS, alarm=True)


def half_written() -> Iterator[Case]:
    """Saves that never finished, and manifests that never were."""
    group, data = "half-written stage", {"model.safetensors": safetensors()}
    yield Case("stage-no-manifest", group, folder_of(data, ".run.stage-1-abc"))
    yield Case(
        "stage-only", group, folder_of({".run.stage-1-abc/model.safetensors": safetensors()})
    )
    yield Case("stage-empty", group, folder_of({".keep": b""}), outcome="refused")
    yield Case("stage-partial-shards", group, folder_of(sharded({"a": "m-1.safetensors", "b": "m-2.safetensors"}, {
        "m-1.safetensors": safetensors()})), outcome="refused")  # fmt: skip
    yield Case(
        "stage-zero-data", group, folder_of({**data, "model.safetensors": b""}), outcome="refused"
    )
    yield Case("stage-dcp-no-metadata", group, folder_of({"__0_0.distcp": dcp_item()}))
    yield Case(
        "stage-dcp-temporary",
        group,
        folder_of({".metadata.tmp": dcp_metadata(), "__0_0.distcp": dcp_item()}),
    )
    body = {"schema": 2, "writer": "x", "sections": [], "tensors": {}, "files": []}
    files = {
        "empty": b"", "zeros": bytes(100), "text": b"hello", "int": b"\x05", "cut": manifest(body)[:-20],
        "bad-digest": manifest(body, digest=bytes(16)), "short-digest": manifest(body, digest=b"x"),
        "newer": manifest({**body, "schema": 99}), "older": manifest({**body, "schema": -1}),
        "huge-schema": manifest({**body, "schema": 2**63}), "no-schema": manifest({"writer": "x"}),
        "not-map": manifest([1, 2, 3]), "body-junk": manifest(b"\xc1\xc1\xc1"), "body-empty": manifest(b""),
        "deep": manifest(b"\x91" * 200_000 + b"\xc0"), "deep-maps": manifest(b"\x81\xa1a" * 100_000 + b"\xc0"),
        "array-lies": manifest(b"\xdd\xff\xff\xff\xff"), "map-lies": manifest(b"\xdf\xff\xff\xff\xff"),
        "bin-lies": b"\x92\xc6\xff\xff\xff\xffx", "str-lies": manifest(b"\xdb\xff\xff\xff\xff"),
        "extension": manifest(b"\xc7\x04\x05abcd"), "timestamp": manifest(b"\xd6\xff\xff\xff\xff\xff"),
        "short-frame": manifest(body, length=5), "long-frame": manifest(body, length=2**31), "three": b"\x93\xc4\x00\xc4\x00\xc4\x00", "tail": manifest(body) + b"x", "pickle": EVIL,
        "duplicate-keys": manifest(b"\x82\xa6schema\x02\xa6schema\x63"),
        "not-utf8": manifest(b"\x81\xa2\xff\xfe\x02"),
    }  # fmt: skip
    for title, raw in files.items():
        yield Case(
            f"manifest-{title}",
            group,
            folder_of({**data, "manifest.msgpack": raw}),
            outcome="refused",
        )
        if title in {"cut", "deep", "array-lies", "pickle"}:
            yield Case(f"manifest-{title}-alone", group, file_of(raw, ".msgpack"), outcome="any")


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (traversals(), indexes(), links(), metadata(), half_written()):
        yield from rows
