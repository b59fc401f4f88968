"""What the trainers share: the device that is asked for, and the one that is not there."""

import errno
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ckptkit
import ckptkit_trainers
from ckptkit import errors
from ckptkit.errors import (
    DiskFullError,
    InputError,
    SettingError,
    UnknownFormatError,
    WriteFailedError,
)
from ckptkit.hooks.manager import trainers
from ckptkit.training.named import named, settings_class
from ckptkit.training.option import options_of
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.out import open_out, out_folder
from ckptkit_trainers.engine.place import device_of, placed
from ckptkit_trainers.engine.settings import Settings, check_settings
from ckptkit_trainers.segmentation.buildformer import BuildFormer
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.model import build
from tests.plugins.whose import PLUGINS, each
from tests.trainers.multimodal_small import painted


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingError, match=rf"--device {name}: .* no such device .* of: cpu;"):
        device_of(name)
    assert device_of("auto") == torch.device("cpu")


def test_the_same_seed_begins_every_stream_alike():
    drawn = []
    for _ in range(2):
        with placed(Settings(seed=5, device="cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("batch_size", 0, "--batch-size: is 0; expected 1 or more; samples in a batch"),
     ("lr", float("nan"), "--lr: is nan; expected 0 or more"),
     ("precision", "fp8", "--precision: is 'fp8'; expected one of: fp32, bf16, fp16")],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_with_what_does(name, value, told):
    with pytest.raises(InputError, match=told), placed(Settings(**{name: value})):
        raise AssertionError("it was let in")


def kinds_of_settings():
    """The settings of every trainer of ours, and the options of each of its actions."""
    for trainer in trainers():
        if trainer.train.startswith("ckptkit_trainers."):
            yield settings_class(trainer, trainer.config, "config")
            for action in trainer.actions:
                yield settings_class(trainer, action.options, action.name)


def test_the_defaults_of_every_trainer_make_sense():
    for kind in kinds_of_settings():
        check_settings(kind())


def test_every_number_says_from_where_on_it_makes_sense():
    """Else it is found out deep in a library: with its words, not ours."""
    open_below = [
        f"{kind.__module__}.{kind.__name__}.{field.name}"
        for kind in kinds_of_settings()
        for field in fields(kind)
        if type(field.default) in (int, float) and "least" not in field.metadata
    ]
    assert open_below == []


@pytest.mark.parametrize("name", each(sorted(PLUGINS)))
def test_no_setting_below_its_least_gets_as_far_as_a_library(name, tmp_path):
    trainer = ckptkit.trainer(name)
    for option in trainer.options:
        least = kind_of(trainer, option.name).get("least")
        if least is None:
            continue
        with pytest.raises(InputError, match=rf"--{option.flag[2:]}: is {least - 1:g}"):
            trainer.train(tmp_path, device="cpu", **{option.name: option.kind.base(least - 1)})


def test_no_whole_number_beyond_those_of_torch_gets_as_far_as_torch():
    for kind in kinds_of_settings():
        for field in fields(kind):
            if type(field.default) is int:
                with pytest.raises(SettingError, match=rf"--{field.name.replace('_', '-')}: is 9"):
                    check_settings(kind(**{field.name: 9 * 10**20}))


def test_the_largest_seed_is_one():
    with placed(Settings(seed=2**63 - 1, device="cpu")) as place:
        assert place.leads


def kind_of(trainer, name):
    kind = settings_class(trainer.offer, trainer.offer.config, "config")
    return next(field.metadata for field in fields(kind) if field.name == name)


@pytest.mark.parametrize(
    ("name", "action", "wrong"),
    each([
        ("diffusion", "sample", {"num_samples": 0}), ("diffusion", "sample", {"scale": -1}),
        ("diffusion", "evaluate", {"clips": 0}), ("segmentation", "sample", {"number": -1}),
        ("segmentation", "evaluate", {"limit": -1}), ("multimodal", "sample", {"top": 0}),
        ("restoration", "sample", {"tile": 0}), ("restoration", "evaluate", {"tile": 0}),
    ]),
)  # fmt: skip
def test_an_action_refuses_what_makes_no_sense_before_it_looks_at_its_checkpoint(
    name, action, wrong, tmp_path
):
    offer = ckptkit.trainer(name).offer
    (found,) = (one for one in offer.actions if one.name == action)
    config = settings_class(offer, offer.config, "config")()
    options = settings_class(offer, found.options, action)(**wrong)
    (setting,) = wrong
    with pytest.raises(InputError, match=rf"--{setting.replace('_', '-')}: is"):
        named(offer, found.call, action)(tmp_path / "nothing", config, options)


def test_a_width_that_buildformer_cannot_part_is_refused():
    assert BuildFormer(16, 8)
    with pytest.raises(InputError, match=r"--width: is 56; expected a multiple of 16"):
        build(Config(model="buildformer", width=56))


def test_no_mistake_of_a_user_leaves_with_the_exit_code_of_a_defect():
    """The kinds of errors that stand above others have no exit code of their own."""
    above = {kind.__name__ for kind in (errors.CkptkitError, *errors.CkptkitError.__subclasses__())}
    for file in Path(ckptkit_trainers.__path__[0]).rglob("*.py"):
        raised = re.findall(r"\braise (?:errors\.)?(\w+)\(", file.read_text())
        assert not above & set(raised), file


@pytest.mark.parametrize(
    ("asked", "checkpoint", "folder"),
    [
        ("here", "run/checkpoints/best_model", "here"),
        ("", "run/checkpoints/best_model", "run/samples"),
        ("", "checkpoints/best_model", "samples"),
        ("", "best_model", "samples"),
        ("", "elsewhere/old.pt", "samples"),
    ],
)
def test_samples_go_where_they_are_told_else_into_the_run_else_here(asked, checkpoint, folder):
    assert out_folder(asked, Path(checkpoint)) == Path(folder)


def test_a_checkpoint_that_is_named_from_beside_it_is_still_of_its_run(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path / "checkpoints")
    assert out_folder("", Path("best_model")) == tmp_path / "samples"


@pytest.mark.parametrize("inside", ["", "1.png", "sheets/1.png"])
@pytest.mark.parametrize("asked", ["", "no/out"])
def test_a_place_for_samples_that_cannot_be_written_is_the_matter_of_out(
    tmp_path, monkeypatch, asked, inside
):
    monkeypatch.chdir(tmp_path)
    checkpoint = Path("run/checkpoints/best_model")
    failed = out_folder(asked, checkpoint) / inside
    told = rf"^{re.escape(str(failed))}: .*permission denied; .*name another with --out"
    with pytest.raises(WriteFailedError, match=told), open_out(asked, checkpoint):
        raise PermissionError(13, "Permission denied", str(failed))


def test_a_folder_for_samples_below_a_file_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(WriteFailedError, match=r"not a directory; .*name another with --out"),
        open_out(str(tmp_path / "file" / "out"), Path("best_model")),
    ):
        pytest.fail("what takes minutes would begin here")


def test_a_disk_that_is_full_of_samples_is_said_to_be(tmp_path):
    with (
        pytest.raises(DiskFullError, match=r"no space left on device; .*--out"),
        open_out(str(tmp_path / "out"), Path("best_model")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("file", ["run/checkpoints/best_model/model.safetensors", None])
def test_another_file_that_cannot_be_read_is_not_the_matter_of_out(tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermissionError), open_out("", Path("run/checkpoints/best_model")):
        raise PermissionError(13, "Permission denied", file)


def test_every_trainer_says_alike_where_samples_go_if_nothing_is_said():
    for trainer in trainers():
        (action,) = (one for one in trainer.actions if one.name == "sample")
        (out,) = (one for one in options_of(trainer, action.options) if one.name == "out")
        assert out.default == ""
        assert out.help.endswith("; empty: samples/ of the run, ./samples without a run")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", each(["segmentation", "multimodal", "restoration", "diffusion"]))
def test_a_picture_that_breaks_off_is_told_in_the_same_words_whoever_reads_it(
    name, workers, tmp_path
):
    data = tmp_path / "data"
    broken = FOLDERS[name](data)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(UnknownFormatError) as raised:
        ckptkit.trainer(name).train(
            tmp_path / "run", data=str(data), workers=workers, epochs=1, batch_size=4,
            device="cpu", tensorboard=False, sample_every=0, **READING[name],
        )  # fmt: skip
    assert str(raised.value).startswith(f"{broken}: cannot be decoded")
    assert "Traceback" not in str(raised.value)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def photographs(data):
    picture(data / "val" / "a.png")
    return picture(data / "train" / "b.png")


def masked(data):
    for part in ("train", "val"):
        picture(data / part / "images" / "a.png")
        (data / part / "masks").mkdir()
        Image.new("L", (48, 48), 255).save(data / part / "masks" / "a.png")
    return data / "train" / "images" / "a.png"


def captioned(data):
    painted(data)
    return picture(data / "Images" / "2_blue.jpg")


def gifs(data):
    """One of two is held out, whichever: both break off."""
    for name in ("a", "b"):
        picture(data / f"{name}.gif")
        (data / f"{name}.txt").write_text("hello")
    ((held_out,),) = by_lot(["a.gif", "b.gif"], 0.1)
    return data / ("b.gif" if held_out == "a.gif" else "a.gif")


FOLDERS = {
    "restoration": photographs, "segmentation": masked, "multimodal": captioned, "diffusion": gifs,
}  # fmt: skip
READING = {
    "restoration": {"patches": 4, "width": 4, "depth": 2, "patch": 32, "val_size": 32},
    "segmentation": {"size": 32, "width": 4},
    "multimodal": {"width": 16, "d_shared": 16, "image_size": 16, "vocabulary": 100},
    "diffusion": {"channels": 8, "text_width": 16, "text_layers": 1, "frames": 2},
}


def test_trainers_hold_what_any_user_may_import_and_nothing_else_of_ours():
    found = set()
    for file in Path(ckptkit_trainers.__path__[0]).rglob("*.py"):
        found |= set(
            re.findall(r"^\s*(?:from|import) (ckptkit(?:\.\w+)*)\b", file.read_text(), re.MULTILINE)
        )
    assert found == {"ckptkit", "ckptkit.plugin"}
