"""A model changes three times; every checkpoint it ever wrote goes on working. Run: python run.py

Each generation restores what the one before saved, trains on, and saves. In the end every old
checkpoint restores into the newest model, is migrated to the newest version, and, where that is
possible, back to the first. Everything that is claimed here is asserted.
"""

import copy
import sys
import tempfile
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from gpt import CONTEXT, Gpt  # noqa: E402

import ckptkit  # noqa: E402

NEWEST = 4
TEXT = b"every old checkpoint still restores, and still migrates; backwards, too, where possible. "
MIGRATORS = [
    m for n in (1, 2, 3) for m in ckptkit.migrators_in(f"migrators/from_{n}.py", str(HERE))
]


class Run:
    """What a training script holds."""

    def __init__(self, generation: int) -> None:
        torch.manual_seed(generation)
        self.generation = generation
        self.model = Gpt(generation)
        decay = [p for p in self.model.parameters() if p.dim() > 1]
        plain = [p for p in self.model.parameters() if p.dim() == 1]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=3e-3)
        self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def state(self) -> dict[str, object]:
        return {"model": self.model, "optimizer": self.optimizer, "ema": self.ema}

    def train(self, steps: int) -> float:
        for _ in range(steps):
            loss_of(self.model).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update_parameters(self.model)
        return self.loss()

    def loss(self) -> float:
        """What the model makes of the text."""
        with torch.no_grad():
            return loss_of(self.model).item()

    def averaged_loss(self) -> float:
        """What the averaged weights make of it."""
        with torch.no_grad():
            return loss_of(self.ema.module).item()


def loss_of(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long() - 32
    tokens = tokens[: len(TEXT) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    scores = model(tokens)[:, :-1, :96]  # the words that every generation knows
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten())


def first_generation(folder: Path) -> tuple[Path, Run]:
    """Nobody counted versions yet: a plain torch.save."""
    run = Run(1)
    run.train(20)
    path = folder / "generation_1.pt"
    state = {"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(), "epoch": 1}
    torch.save(state, path)
    return path, run


def next_generation(folder: Path, before: Path, old: Run) -> tuple[Path, Run]:
    """Restore the last checkpoint into the changed model, and train on."""
    generation = old.generation + 1
    draft(before, generation)
    run = Run(generation)
    targets = run.state()
    if old.generation == 1:
        del targets["ema"]  # the first generation had none
    report = ckptkit.restore(before, targets, trainer="gpt", migrators=MIGRATORS[: generation - 1])
    print(report, end="\n\n")
    assert report.ok
    assert abs(run.loss() - old.loss()) < 1e-5, "the model computes what it did"
    steps = {int(one["step"]) for one in run.optimizer.state.values()}
    assert steps == {int(one["step"]) for one in old.optimizer.state.values()}
    assert run.train(10) < old.loss(), "and the optimizer goes on where it was"
    path = folder / f"generation_{generation}"
    ckptkit.save(path, run.state(), trainer="gpt", versions={"model": generation})
    return path, run


def draft(before: Path, generation: int) -> None:
    """What --autogenerate writes for this step is what was finished by hand."""
    known = MIGRATORS[: generation - 2]
    factory = ckptkit.Factory(spec=f"gpt.py:generation_{generation}", root=str(HERE))
    made = ckptkit.autogenerate(before, factory, trainer="gpt", migrators=known)
    finished = MIGRATORS[generation - 2]
    assert (made.start, made.stop) == (finished.start, finished.stop)
    if generation < NEWEST:
        assert tuple(one.operation for one in made.sure) == finished.operations
        assert not made.questions
    else:  # nobody can know with what new words begin
        assert not made.sure
        [question] = made.questions
        print(f"asked: {question.text}\nproposed: {question.answer}\n")
        assert str(question.answer) == 'Pad("(words|head).weight", ((0, 32),))'
        assert str(finished.operations[0]).startswith(str(question.answer)[:-1])


def restores(path: Path, old: Run) -> None:
    """An old checkpoint fills the newest model, which then computes what the old one did."""
    stored = {p: p.read_bytes() for p in (path, *path.rglob("*")) if p.is_file()}
    run = Run(NEWEST)
    targets = run.state()
    if old.generation == 1:
        del targets["ema"]
    report = ckptkit.restore(path, targets, trainer="gpt", migrators=MIGRATORS)
    assert (
        len([title for title in report.migrated if title.startswith("model ")])
        == 4 - old.generation
    )
    assert abs(run.loss() - old.loss()) < 1e-5
    if old.generation > 1:
        assert abs(run.averaged_loss() - old.averaged_loss()) < 1e-5, "the averages came along"
    assert run.model.head.weight is run.model.words.weight
    assert {p: p.read_bytes() for p in stored} == stored, "restoring changes no file"


def migrates(folder: Path, path: Path, old: Run) -> None:
    """To the newest version, and back to its own: every weight and every moment to the bit."""
    newest, again = folder / f"{path.stem}_newest", folder / f"{path.stem}_again"
    lead(path, newest, NEWEST)
    lead(newest, again, old.generation)
    run = Run(old.generation)
    targets = run.state()
    if old.generation == 1:
        del targets["ema"]
    ckptkit.restore(again, targets)
    assert_same(run.model.state_dict(), old.model.state_dict())
    state, expected = run.optimizer.state_dict(), old.optimizer.state_dict()
    assert state["param_groups"] == expected["param_groups"]
    for number, moments in expected["state"].items():
        assert_same(state["state"][number], moments)


def lead(source: Path, target: Path, version: int) -> None:
    if source.is_dir() and ckptkit.load(source).sealed.manifest.section("model").version == version:
        source.rename(target)  # the newest itself
        return
    versions = ckptkit.Versions(trainer="gpt", to={"model": version}, migrators=tuple(MIGRATORS))
    report = ckptkit.migrate(source, target, ckptkit.MigrateOptions(versions=versions))
    assert report.proved
    assert all(row.target is not None for row in report.placed), "nothing was dropped"


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    for name, value in other.items():
        assert torch.equal(one[name], value), name


def main(folder: Path) -> None:
    path, run = first_generation(folder)
    history = [(path, copy.deepcopy(run))]
    while run.generation < NEWEST:
        path, run = next_generation(folder, path, run)
        history.append((path, copy.deepcopy(run)))
    for old_path, old in history[:-1]:
        restores(old_path, old)
        migrates(folder, old_path, old)
    oldest = folder / "newest_as_1"
    lead(path, oldest, 1)  # the 32 new words go: what they learnt is what the first one cannot hold
    first = Run(1)
    ckptkit.restore(oldest, {"model": first.model, "optimizer": first.optimizer})
    assert torch.equal(first.model.words.weight, run.model.words.weight[:96])
    print("every checkpoint of every generation restores, migrates, and comes back")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
