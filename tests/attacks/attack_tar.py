"""The oldest torch format, a tar, and what a tar can smuggle."""

from __future__ import annotations

import pickle as p
import struct
import tarfile
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_legacy import SYSTEM, tar_members, tar_storages, tar_tensors, write_tar
from tests.attacks.case import Case, Name, file_of

EVIL = b.stream(b.os_system())
DROP = p.PROTO + b"\x02" + b.os_system() + p.POP
SYS: tuple[Name, ...] = (("posix", "system"),)
Row = tuple[str, str, bytes, str]


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A header without bytes."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def names_and_links() -> Iterator[Row]:
    """Members that point elsewhere."""
    path, links, rest = "tar traversal", "tar links and devices", tar_members()
    for index, name in enumerate(
        ("../../evil", "/etc/evil", "a/../../evil", "..", "storages/../../x", "\x1b[2Jx", "C:\\x")
    ):
        yield f"path-{index}", path, write_tar({**rest, name: b"x"}), "any"
        yield f"path-first-{index}", path, write_tar({name: b"x", **rest}), "any"
    for member in ("storages", "tensors", "pickle"):
        short = {key: data for key, data in rest.items() if key != member}
        for title, kind, link in (
            ("symlink", tarfile.SYMTYPE, "/etc/hostname"), ("hardlink", tarfile.LNKTYPE, "sys_info"),
            ("hardlink-self", tarfile.LNKTYPE, member), ("fifo", tarfile.FIFOTYPE, ""),
            ("device", tarfile.CHRTYPE, ""), ("folder", tarfile.DIRTYPE, ""), ("sparse", tarfile.GNUTYPE_SPARSE, ""),
        ):  # fmt: skip
            yield (
                f"{member}-{title}",
                links,
                write_tar(short, [info(member, kind, link)]),
                "refused",
            )
    both = write_tar(rest, [info("storages", tarfile.SYMTYPE, "/etc/hostname")])
    yield "symlink-then-file", links, both, "any"
    yield "nested-name", path, write_tar({f"./{key}": data for key, data in rest.items()}), "any"


def payloads() -> Iterator[Row]:
    """A pickle that runs something, in each member and behind each count."""
    group = "legacy pickles"
    yield "evil-pickle", group, write_tar(tar_members(pickle=EVIL)), "any"
    yield "evil-system", group, write_tar(tar_members(sys_info=EVIL)), "any"
    yield "evil-storages", group, write_tar(tar_members(storages=EVIL)), "any"
    yield "evil-tensors", group, write_tar(tar_members(tensors=EVIL)), "any"
    storages = DROP + tar_storages()[2:]
    yield "evil-storage-count", group, write_tar(tar_members(storages=storages)), "any"
    row = tar_storages(kind=b.name("posix", "system"))
    yield "evil-storage-class", group, write_tar(tar_members(storages=row)), "any"
    views = tar_storages()
    cut = views.rindex(b"\x80\x02")
    yield "evil-views", group, write_tar(tar_members(storages=views[:cut] + EVIL)), "any"
    tensors = DROP + tar_tensors()[2:]
    yield "evil-tensor-count", group, write_tar(tar_members(tensors=tensors)), "any"


def lies() -> Iterator[Row]:
    """Counts, shapes and views that leave their bytes."""
    group, bounds = "tar structure", "tensor bounds"
    count = {"storages": tar_storages, "tensors": tar_tensors}
    for member, make in count.items():
        for title, value in (("more", 9), ("huge", 2**62), ("negative", -1)):
            yield (
                f"{member}-{title}",
                group,
                write_tar(tar_members(**{member: make(count=value)})),
                "refused",
            )
    short = struct.pack("<4f", 1, 2, 3, 4)
    for title, numel in (("huge", 2**60), ("negative", -4), ("large", 5)):
        raw = tar_storages(((1, numel, short),))
        yield f"numel-{title}", group, write_tar(tar_members(storages=raw)), "refused"
    for title, row in (
        ("size", (2, 1, (5,), (1,), 0)), ("size-negative", (2, 1, (-1,), (1,), 0)), ("stride", (2, 1, (4,), (2,), 0)),
        ("stride-negative", (2, 1, (4,), (-1,), 3)), ("offset", (2, 1, (4,), (1,), 1)),
        ("offset-negative", (2, 1, (2,), (1,), -1)), ("overflow", (2, 1, (2**32, 2**32), (1, 1), 0)),
        ("unknown-storage", (2, 99, (4,), (1,), 0)),
    ):  # fmt: skip
        yield (
            f"bounds-{title}",
            bounds,
            write_tar(tar_members(tensors=tar_tensors((row,)))),
            "refused",
        )
    for title, ndim in (("huge", 2**30), ("negative", -1), ("more", 3)):
        raw = tar_tensors(ndim=ndim)
        yield f"ndim-{title}", group, write_tar(tar_members(tensors=raw)), "refused"
    for title, view in (
        ("outside", (5, 1, 2, 4)), ("negative", (5, 1, -1, 2)), ("root", (5, 77, 0, 1)), ("cycle", (5, 5, 0, 1)),
        ("overflow", (5, 1, 2**62, 2**62)),
    ):  # fmt: skip
        raw = tar_storages(views=(view,))
        of_view = tar_tensors(((2, 5, (4,), (1,), 0),))
        yield (
            f"view-{title}",
            bounds,
            write_tar(tar_members(storages=raw, tensors=of_view)),
            "refused",
        )
    yield "view-junk", group, write_tar(tar_members(storages=tar_storages(views=(5,)))), "refused"
    for member in ("storages", "tensors", "pickle"):
        left = {key: data for key, data in tar_members().items() if key != member}
        yield f"without-{member}", group, write_tar(left), "refused"
    whole = write_tar(tar_members())
    yield "cut", group, whole[:3000], "refused"
    yield "checksum", group, whole[:148] + b"0000000\0" + whole[156:], "any"
    yield "size-octal-junk", group, whole[:124] + b"99999999999\0" + whole[136:], "any"
    yield "size-base256", group, whole[:124] + b"\x80" + b"\xff" * 11 + whole[136:], "any"
    yield "duplicate-pickle", group, whole[:-1024] + write_tar({"pickle": EVIL}), "any"
    yield "no-end", group, whole.rstrip(b"\0"), "any"
    unset = b.stream(b.const({})[:-1] + b.const("w") + b.const("77") + p.BINPERSID + p.SETITEM)
    yield "persistent-unknown", group, write_tar(tar_members(pickle=unset)), "any"
    yield "system-twice", group, write_tar({"sys_info": SYSTEM, **tar_members()}), "any"
    many = {f"x{i}": b"" for i in range(5000)}
    yield "many-members", group, write_tar({**tar_members(), **many}), "any"


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (names_and_links(), payloads(), lies()):
        for title, group, data, outcome in rows:
            evil = title.startswith("evil")
            yield Case(f"tar-{title}", group, file_of(data, ".tar"), names=SYS if evil else (),
                alarm=True if evil else None, outcome=outcome)  # fmt: skip
