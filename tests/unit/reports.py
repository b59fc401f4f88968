"""Reports made by hand: one in which nearly everything is wrong, one in which nothing is."""

from __future__ import annotations

from ckptkit.report.values import ComponentReport, Line, LoadReport, Setting
from ckptkit.types import Coverage

STEMS = (
    "attn.q_proj.weight", "attn.k_proj.weight", "attn.v_proj.weight", "attn.out.weight",
    "mlp.fc1.weight", "mlp.fc2.weight", "norm.weight",
)  # fmt: skip


def component(name="model", **fields) -> ComponentReport:
    given = {"kind": "module", "status": "restored", "source": name} | fields
    return ComponentReport(name=name, **given)


def report(*components: ComponentReport, **fields) -> LoadReport:
    given = {"path": "runs/a/old.pt", "dialect": "training-dict", "schema_version": 1,
             "mode": "resume"} | fields  # fmt: skip
    return LoadReport(components=components, **given)


def good() -> LoadReport:
    cast = [Line("cast", f"h.{i}.w", "", "float16 to float32") for i in range(12)]
    tied = Line("tied", "lm_head.weight", "wte.weight")
    whole = Coverage(148, 148, 497_000_000, 497_000_000)
    return report(component(coverage=whole, lines=(tied, *cast)))


def disaster() -> LoadReport:
    """A model of 3,000 names of which 12 are found, with an optimizer and an average."""
    lines = []
    for i in range(60):
        for stem in STEMS:
            shapes = "[768, 768] in the file, [1024, 1024] in the model"
            lines += [
                Line("mismatched", f"layers.{i}.{stem}", "", shapes, 768 * 768 * 4),
                Line("missing", f"layers.{i}.new.{stem}", "", "float32 [1024, 1024]", 4 << 20),
                Line("unexpected", f"blocks.{i}.{stem}x", "", "float32 [768]", 3072),
                Line("proposed", f"layers.{i}.ln.{stem}", f"transformer.h.{i}.ln_1.{stem}",
                     "same end, same shape", 3072),
            ]  # fmt: skip
    lines += [
        Line("missing", f"odd_{'abcdefghij'[i % 10]}{'xyzuvw'[i % 6]}.p{i * 7}", "", f"[{i % 13}]")
        for i in range(1300)
    ]
    model = component(
        status="refused", coverage=Coverage(12, 3000, 3_100_000, 497_000_000), lines=tuple(lines),
        faults=("2,988 of 3,000 parameters find nothing in the file", "420 have other shapes"),
    )  # fmt: skip
    optimizer = component(
        "optimizer", kind="optimizer", status="refused", coverage=Coverage(0, 3000, 0, 9 << 30),
        lines=tuple(Line("dropped", f"blocks.{i}.w") for i in range(60)),
        faults=("no name of it is in the model",),
        settings=(
            Setting("optimizer, group 0", "lr", 1e-3, 3e-4, 3e-4),
            Setting("optimizer, group 0", "betas", (0.9, 0.95), (0.9, 0.999), (0.9, 0.999)),
        ),
    )  # fmt: skip
    average = component("ema", kind="average", status="absent", faults=("no averaged weights",))
    scheduler = component("scheduler", kind="scheduler")
    left = (("rng", "the mode leaves it"), ("history", "nobody asked for it"))
    return report(model, optimizer, scheduler, average, migrated=("keys of v1 to v2",), left=left,
                  notes=("written by torch 1.4",))  # fmt: skip
