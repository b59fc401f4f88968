"""What lies around the tensors: odd file names, side files, very deep folders, tar extensions, long lists."""

from __future__ import annotations

import json
import os
import pickle as p
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attacks import build_pickle as b
from tests.attacks.attack_tar import info
from tests.attacks.build_folder import dcp, sharded
from tests.attacks.build_legacy import tar_members, write_tar
from tests.attacks.build_safetensors import safetensors
from tests.attacks.build_zip import Entry, members, torch_zip, write_zip
from tests.attacks.case import Built, Case, Name, file_of, folder_of

EVIL = b.stream(b.os_system())
SYS: tuple[Name, ...] = (("posix", "system"),)
CONFIG = {"model.safetensors": safetensors(), "config.json": b"{}"}


def named(name: bytes, data: bytes) -> Callable[[Path], Built]:
    """A file of any name that the file system takes."""

    def build(folder: Path) -> Built:
        path = os.path.join(os.fsencode(folder), name)
        with open(path, "wb") as out:
            out.write(data)
        return Built(Path(os.fsdecode(path)))

    return build


def inside(name: bytes, data: bytes, files: dict[str, bytes]) -> Callable[[Path], Built]:
    """A folder with one more file of any name."""

    def build(folder: Path) -> Built:
        built = folder_of(files)(folder)
        with open(os.path.join(os.fsencode(built.path), name), "wb") as out:
            out.write(data)
        return built

    return build


def file_names() -> Iterator[Case]:
    """Names that do not decode, act on a terminal, or hide what follows."""
    group = "terminal escapes"
    for index, name in enumerate((
        b"\xff\xfe.pt", b"\x1b[2J\x1b]0;owned\x07.pt", b"a\nverdict: clean\n.pt", b"\xe2\x80\xaetp.live", b" .pt", b"-rf.pt",
        b"a\\b.pt", b"\xc2\x9b31m.pt", b"x" * 250,
    )):  # fmt: skip
        yield Case(f"name-file-{index}", group, named(name, torch_zip()))
        yield Case(f"name-file-evil-{index}", group, named(name, EVIL), names=SYS, alarm=True)
        yield Case(
            f"name-inside-{index}",
            group,
            inside(name[:200] + b".safetensors", safetensors(), CONFIG),
        )
        yield Case(f"name-inside-evil-{index}", group, inside(name[:200] + b".bin", EVIL, CONFIG))
        yield Case(f"name-inside-dcp-{index}", group, inside(name[:200] + b".distcp", EVIL, dcp()))


def side_files() -> Iterator[Case]:
    """JSON that a folder brings along."""
    group = "folder traversal"
    texts = {
        "deep": b"[" * 300_000 + b"]" * 300_000, "deep-objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "cut": b'{"a"',
        "number": b"9" * 2_000_000, "exponent": b'{"lr": 1e999999999}', "nan": b'{"lr": NaN, "x": -Infinity}', "empty": b"",
        "twice": b'{"a": 1, "a": 2}', "not-utf8": b'{"\xff": 1}', "utf16": '{"a": 1}'.encode("utf-16"), "list": b"[1, 2]",
        "escape": json.dumps({"\x1b[2J": "\x1b]0;x\x07"}).encode(), "surrogate": b'{"\\ud800": "\\udfff"}', "text": b"hello",
        "pickle": EVIL, "long-key": json.dumps({"k" * 3_000_000: 1}).encode(), "many": json.dumps(list(range(400_000))).encode(),
        "null": b"null", "nul": b"\0" * 100,
    }  # fmt: skip
    for title, text in texts.items():
        for name in ("config.json", "trainer_state.json"):
            yield Case(f"side-{name[:6]}-{title}", group, folder_of({**CONFIG, name: text}))
    state = json.dumps(
        {"global_step": "x", "epoch": [], "log_history": {"a": 1}, "best_metric": {}}
    ).encode()
    yield Case("side-trainer-types", group, folder_of({**CONFIG, "trainer_state.json": state}))
    many = {"weight_map": {f"w{i}": f"shard-{i}.safetensors" for i in range(20_000)}}
    yield Case(
        "side-index-many",
        group,
        folder_of({"model.safetensors.index.json": json.dumps(many).encode()}),
        outcome="refused",
    )
    both = sharded()
    yield Case("side-two-models", group, folder_of({**both, "model.safetensors": safetensors()}))
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.pt", "random_states_0.pkl",
                 "optimizer.bin", "custom_checkpoint_0.pkl", "adapter_model.bin", "pytorch_model-00001-of-00002.bin"):  # fmt: skip
        files = {**CONFIG, "trainer_state.json": b'{"global_step": 1}', name: EVIL}
        yield Case(f"side-evil-{name}", "gadget", folder_of(files), names=SYS, alarm=True)


def depths() -> Iterator[Case]:
    """Folders in folders, and folders of very many files."""
    group = "folder symlink"

    def deep(folder: Path) -> Built:
        root = folder / "case"
        root.mkdir()
        here = os.open(root, os.O_RDONLY)
        for _ in range(400):  # as deep as the clean-up of a temporary folder still bears
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        return Built(root)

    yield Case("folder-deep", group, deep)
    yield Case("folder-many", group, folder_of({f"f{i}": b"" for i in range(3000)}))
    yield Case(
        "folder-many-shards",
        group,
        folder_of({f"model-{i}.safetensors": safetensors() for i in range(300)}),
    )

    def locked(folder: Path) -> Built:
        built = folder_of(CONFIG)(folder)
        os.chmod(built.path / "model.safetensors", 0)
        return built

    yield Case("folder-locked", group, locked)


def archives() -> Iterator[Case]:
    """Extensions of tar, and torch zips with other people's pickles inside."""
    rest = tar_members()
    longer = info("x")
    longer.pax_headers = {
        "path": "../../evil",
        "size": "99999999999999",
        "linkpath": "/etc/hostname",
    }
    yield Case("tar-pax-path", "tar structure", file_of(write_tar(rest, [longer]), ".tar"))
    for title, headers in (
        ("size", {"size": "-1"}), ("size-junk", {"size": "many"}), ("nul", {"path": "a\0b"}), ("huge", {"comment": "x" * 2_000_000}),
        ("sparse", {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "999999999999"}),
    ):  # fmt: skip
        member = info("storages")
        member.pax_headers = headers
        yield Case(f"tar-pax-{title}", "tar structure", file_of(write_tar(rest, [member]), ".tar"))
    for kind in (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        b"Z",
        b"V",
        b"M",
        b"N",
    ):
        loop = write_tar({}, [info("././@LongLink", kind)] * 50)[: 512 * 50]
        yield Case(
            f"tar-type-{kind.decode()}", "tar structure", file_of(loop + write_tar(rest), ".tar")
        )
    debug = members()
    debug += [
        Entry("archive/constants.pkl", b.stream(p.EMPTY_TUPLE)),
        Entry("archive/code/__torch__.py.debug_pkl", EVIL),
    ]
    yield Case("zip-debug-pickle", "nested pickle", file_of(write_zip(debug)))
    extra = [*members(), Entry("archive/extra/notes.pkl", EVIL)]
    yield Case(
        "zip-extra-pickle", "nested pickle", file_of(write_zip(extra)), names=SYS, alarm=True
    )
    inner = [*members(), Entry("archive/inner.pt", torch_zip(EVIL))]
    yield Case("zip-inner-zip", "nested pickle", file_of(write_zip(inner)))


def long_lists() -> Iterator[Case]:
    """Very many names, and very long ones."""
    rows = b"".join(b.name(f"m{i}", "f") for i in range(60_000))
    yield Case("names-many", "gadget", file_of(b.stream(p.MARK + rows + p.LIST), ".pkl"))
    calls = b"".join(b.name("posix", "system") + p.EMPTY_TUPLE + p.REDUCE for _ in range(50_000))
    yield Case(
        "names-repeated",
        "gadget",
        file_of(b.stream(p.MARK + calls + p.LIST), ".pkl"),
        names=SYS,
        alarm=True,
    )
    hidden = b.stream(p.MARK + rows + b.os_system() + p.LIST)
    yield Case("names-hidden-among-many", "gadget", file_of(hidden, ".pkl"), names=SYS, alarm=True)
    long = ("m" * 1_000_000, "f" * 1_000_000)
    yield Case("names-long", "gadget", file_of(b.stream(b.name(*long)), ".pkl"))
    dotted = ("os", ".".join(["path", "os"] * 100_000) + ".system")
    yield Case(
        "names-long-dotted",
        "dotted name",
        file_of(b.stream(b.stack_name(*dotted), 4), ".pkl"),
        alarm=True,
    )
    chain = p.EMPTY_TUPLE + (b.put(0) + p.POP + p.MARK + b.get(0) + b.tensor() + p.TUPLE) * 1500
    yield Case("tensors-nested", "deep nesting", file_of(torch_zip(b.stream(chain))))
    wide = p.EMPTY_LIST + b.tensor() + b.put(1) + p.POP + p.MARK + b.get(1) * 200_000 + p.APPENDS
    yield Case("tensor-repeated", "billion laughs", file_of(torch_zip(b.stream(wide))))
    spread = b.tensor(None, 0, (2**20, 2**20, 4), (0, 0, 1))
    yield Case("tensor-spread", "billion laughs", file_of(torch_zip(b.state_dict(w=spread))))
    many = p.MARK + b"".join(b.tensor(None, 0, (2**40, 4), (0, 1)) for _ in range(500)) + p.LIST
    yield Case("tensors-spread", "billion laughs", file_of(torch_zip(b.stream(many))))


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (file_names(), side_files(), depths(), archives(), long_lists()):
        yield from rows
