"""The segmentation trainer's pictures: drawn tiles, and folders of three layouts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from PIL import Image  # noqa: E402

from ckptkit.errors import InputError, MismatchError, NotFoundError, SettingError  # noqa: E402
from ckptkit_trainers.engine.place import Place  # noqa: E402
from ckptkit_trainers.segmentation.colour import (  # noqa: E402
    iou_of_regression,
    iou_of_threshold,
    pixels_of,
)
from ckptkit_trainers.segmentation.config import Config  # noqa: E402
from ckptkit_trainers.segmentation.data import (  # noqa: E402
    Drawn,
    corners,
    open_data,
    turned,
    val_loader,
)
from ckptkit_trainers.segmentation.folders import read_folder  # noqa: E402
from ckptkit_trainers.segmentation.mask_file import read_mask  # noqa: E402
from ckptkit_trainers.segmentation.predict import chances_of  # noqa: E402
from ckptkit_trainers.segmentation.tiles import draw_tile  # noqa: E402


def put(folder, names, size=(64, 64), *, masks="masks", ending="png", mark=""):
    """Pictures whose red channel is their mask, so that a wrong pair or crop is seen."""
    rng = np.random.default_rng(0)
    for name in names:
        mask = (rng.random((size[1], size[0])) > 0.6).astype(np.uint8) * 255
        image = np.stack([mask, mask // 2, mask // 3], -1)
        for kind, pixels, tail in (("images", image, ""), (masks, mask, mark)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / f"{name}{tail}.{ending}")
    return folder


def stems(pairs):
    return [pair.image.stem for pair in pairs]


def opened(folder, **settings):
    return open_data(Config(data=str(folder), size=32, augment=False, **settings))


# -- drawn tiles ----------------------------------------------------------------------------------


def test_a_tile_is_a_function_of_seed_index_and_size():
    one, again = draw_tile(3, 5, 48), draw_tile(3, 5, 48)
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.mask, again.mask)
    assert not np.array_equal(one.image, draw_tile(3, 6, 48).image)
    assert not np.array_equal(one.image, draw_tile(4, 5, 48).image)
    assert set(np.unique(one.mask)) <= {0, 1}


def test_held_out_tiles_are_none_of_those_trained_on():
    config = Config(size=32, tiles=20, val_tiles=20)
    seen = {Drawn(config).tile(n).image.tobytes() for n in range(20)}
    held_out = {Drawn(config, held_out=True).tile(n).image.tobytes() for n in range(20)}
    assert len(seen) == len(held_out) == 20
    assert not seen & held_out


def test_colour_alone_does_not_tell_what_is_a_building():
    config = Config(size=48, tiles=40, val_tiles=25)
    seen = pixels_of(Drawn(config), 40)
    held_out = pixels_of(Drawn(config, held_out=True), 25)
    assert 0.1 < held_out[1].mean() < 0.3
    assert iou_of_threshold(seen, held_out) < 0.4
    assert iou_of_regression(seen, held_out) < 0.4


# -- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_train_and_val_folders_are_taken_as_they_are(tmp_path, name):
    put(tmp_path / "train", ["a", "b"])
    put(tmp_path / name, ["c"], masks="labels", mark="_mask")
    split = read_folder(tmp_path, seed=0, val_fraction=0.5)
    assert (stems(split.train), stems(split.val)) == (["a", "b"], ["c"])


def test_one_folder_is_split_by_the_seed(tmp_path):
    put(tmp_path, [f"p{n}" for n in range(10)])
    one = read_folder(tmp_path, seed=1, val_fraction=0.3)
    assert 1 <= len(one.val) <= 5
    assert sorted(stems(one.train) + stems(one.val)) == [f"p{n}" for n in range(10)]
    assert one == read_folder(tmp_path, seed=1, val_fraction=0.3)
    assert any(one != read_folder(tmp_path, seed=seed, val_fraction=0.3) for seed in range(2, 6))


def test_what_is_in_no_pair_is_told(tmp_path):
    put(tmp_path, ["a", "b"])
    assert not opened(tmp_path).notes
    put(tmp_path / "images" / "deeper", ["c"])
    (tmp_path / "masks" / "d_mask.png").touch()
    (told,) = opened(tmp_path).notes
    assert (
        f"left out of {tmp_path}: 3 .png (images/deeper/images/c.png, images/deeper/masks/c.png, masks/d_mask"
        in told
    )


@pytest.mark.parametrize("twin", ["masks/a_mask.png", "masks/A.png", "images/a.bmp"])
def test_two_files_that_would_be_one_are_refused(tmp_path, twin):
    put(tmp_path, ["a", "b"])
    Image.new("L", (64, 64)).save(tmp_path / twin)
    with pytest.raises(InputError, match=r"beside it, but for its ending or its case; .* rename"):
        read_folder(tmp_path, seed=0, val_fraction=0.5)


def test_inria_holds_out_the_first_five_tiles_of_each_city(tmp_path):
    names = [f"{city}{n}" for city in ("austin", "tyrol-w") for n in range(1, 8)]
    put(tmp_path / "train", names, masks="gt", ending="tif")
    (tmp_path / "test" / "images").mkdir(parents=True)  # it has no truth, and is not looked at
    split = read_folder(tmp_path, seed=0, val_fraction=0.2)
    assert stems(split.train) == ["austin6", "austin7", "tyrol-w6", "tyrol-w7"]
    assert {pair.group for pair in split.val} == {"austin", "tyrol-w"}
    assert len(split.val) == 10
    data = opened(tmp_path)
    assert {data.val.group(n) for n in range(len(data.val))} == {"austin", "tyrol-w"}


def test_patches_cover_a_picture_and_stay_with_their_masks(tmp_path):
    put(tmp_path / "train", ["a"], size=(75, 70))
    put(tmp_path / "val", ["b"], size=(20, 40))
    data = opened(tmp_path)
    assert len(data.train) == 9
    covered = sum(data.train.tile(n).mask.size for n in range(9))
    assert covered == 9 * 32 * 32
    for number in range(9):
        tile = data.train.tile(number)
        assert np.array_equal(tile.image[..., 0] > 127, tile.mask == 1)
    assert data.val[0][0].shape == (3, 32, 32)  # smaller than a patch: padded


@pytest.mark.parametrize("length", [5, 32, 33, 63, 64, 65, 100])
def test_corners_cover_every_pixel(length):
    starts = corners(length, 32)
    seen = {pixel for start in starts for pixel in range(start, start + 32)}
    assert set(range(length)) <= seen
    assert all(0 <= start <= max(0, length - 32) for start in starts)
    assert len(starts) == len(set(starts)) == -(-length // 32)


def test_masks_of_0_and_1_count_as_those_of_0_and_255(tmp_path):
    put(tmp_path / "train", ["a"])
    put(tmp_path / "val", ["b"])
    path = tmp_path / "train" / "masks" / "a.png"
    before = opened(tmp_path).train.tile(0).mask
    Image.fromarray((np.asarray(Image.open(path)) > 127).astype(np.uint8)).save(path)
    assert np.array_equal(opened(tmp_path).train.tile(0).mask, before)


def test_what_is_missing_is_named_with_what_was_looked_for(tmp_path):
    def read():
        return read_folder(tmp_path / "data", seed=0, val_fraction=0.2)

    with pytest.raises(NotFoundError, match="is no folder"):
        read()
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    with pytest.raises(NotFoundError, match=r"no folder images or imgs \(it holds pictures\)"):
        read()
    (tmp_path / "data" / "images").mkdir()
    with pytest.raises(NotFoundError, match="no folder masks or gt"):
        read()
    (tmp_path / "data" / "masks").mkdir()
    with pytest.raises(NotFoundError, match="holds no picture"):
        read()
    put(tmp_path / "data", ["a"])
    with pytest.raises(NotFoundError, match="leaves 1 images to train on and 0 to validate"):
        read()
    put(tmp_path / "data", ["a", "b", "c"])
    (tmp_path / "data" / "masks" / "b.png").unlink()
    with pytest.raises(NotFoundError, match=r"no mask for 1 of 3 images \(b.png"):
        read()


def test_a_mask_of_another_size_and_a_broken_picture_are_refused(tmp_path):
    put(tmp_path, ["a", "b"])
    Image.new("L", (9, 9)).save(tmp_path / "masks" / "a.png")
    with pytest.raises(MismatchError, match="is 9 x 9 pixels; expected the size of"):
        opened(tmp_path)
    put(tmp_path, ["a", "b"])
    whole = (tmp_path / "images" / "a.png").read_bytes()
    (tmp_path / "images" / "a.png").write_bytes(whole[: len(whole) // 2])
    data = opened(tmp_path)
    with pytest.raises(InputError, match=r"a.png: cannot be decoded"):
        [part.tile(n) for part in data for n in range(len(part))]


@pytest.mark.parametrize("content", [b"no picture at all", b""])
def test_what_is_no_picture_is_refused_by_its_name(tmp_path, content):
    put(tmp_path, ["a", "b"])
    (tmp_path / "masks" / "b.png").write_bytes(content)
    with pytest.raises(InputError, match=r"masks/b.png: is no picture.*expected.*take it out"):
        opened(tmp_path)


def test_what_macos_leaves_beside_the_pictures_is_passed_over(tmp_path):
    put(tmp_path, ["a", "b"])
    for kind in ("images", "masks"):
        (tmp_path / kind / "._a.png").write_bytes(b"\0\5\x16\7")
    assert sum(map(len, read_folder(tmp_path, seed=0, val_fraction=0.5))) == 2


def test_sixteen_bits_are_refused_because_they_would_be_cut_off(tmp_path):
    put(tmp_path, ["a", "b"])
    Image.new("I;16", (64, 64), 30000).save(tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match=r"images/a.png: .*expected 8 bits a channel"):
        opened(tmp_path)


HOUSE = np.zeros((8, 8), np.uint8)
HOUSE[2:5, 3:7] = 1


def palette(*colours):
    image = Image.fromarray(HOUSE, "P")
    image.putpalette(sum(colours, ()))
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(HOUSE), Image.fromarray(HOUSE * 255), Image.fromarray(HOUSE * 100),
        Image.fromarray(HOUSE.astype(bool)), Image.fromarray(HOUSE.astype(np.uint16) * 65535),
        Image.fromarray(HOUSE.astype(np.uint16)), Image.fromarray(HOUSE.astype(np.int32)),
        Image.fromarray(np.repeat(HOUSE[..., None] * 255, 3, -1)),
        palette((0, 0, 0), (0, 128, 0)), palette((0, 0, 0), (255, 255, 255)),
        Image.merge("LA", (Image.fromarray(HOUSE * 255), Image.new("L", (8, 8), 255))),
    ],
    ids=lambda image: image.mode,
)  # fmt: skip
def test_however_a_mask_is_stored_its_buildings_are_found(tmp_path, image):
    image.save(tmp_path / "a.tif" if image.mode == "I" else tmp_path / "a.png")
    (path,) = tmp_path.iterdir()
    assert np.array_equal(read_mask(path), HOUSE)


def test_a_palette_that_begins_with_white_is_read_by_its_shades(tmp_path):
    palette((255, 255, 255), (0, 0, 0)).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), 1 - HOUSE)


def test_a_mask_that_jpeg_has_smeared_is_still_that_mask(tmp_path):
    large = np.kron(HOUSE, np.ones((8, 8), np.uint8))
    Image.fromarray(large * 255).save(tmp_path / "a.jpg", quality=60)
    assert (read_mask(tmp_path / "a.jpg") != large).mean() < 0.01


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (HOUSE + np.eye(8, dtype=np.uint8), "holds the values 0, 1, 2;"),
        (HOUSE + 1, "holds the values 1, 2;"),
        (np.stack([HOUSE * 255, HOUSE, HOUSE], -1), "is coloured;"),
        (HOUSE + 255 * np.eye(8, dtype=np.uint8), "holds the values 0, 1, 255;"),
        (
            85 * np.arange(4, dtype=np.uint8).repeat(16).reshape(8, 8),
            "holds the values 0, 85, 170, 255;",
        ),
        (np.stack([HOUSE, HOUSE, HOUSE, HOUSE * 255], -1), "says something by its transparency;"),
    ],
)
def test_a_mask_of_several_classes_is_refused_and_none_is_guessed(tmp_path, pixels, told):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=rf"a.png: {told} .*0 and 255; write 255 where buildings"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("size", [0, 20, 100])
def test_a_size_that_no_stage_can_halve_is_refused(size):
    with pytest.raises(SettingError, match="a multiple of 32"):
        open_data(Config(size=size))


# -- batches --------------------------------------------------------------------------------------


def test_turning_a_patch_turns_its_mask_with_it():
    torch.manual_seed(0)
    mask = (torch.rand(1, 16, 16) > 0.5).float()
    seen = set()
    for _ in range(30):
        image, other = turned(mask.expand(3, 16, 16) * 0.5, mask)
        assert torch.equal(image[0] > 0.25, other[0] > 0.5)
        seen.add(other.numpy().tobytes())
    assert len(seen) == 8  # four quarters, mirrored or not


def test_several_processes_validate_every_patch_once():
    config = Config(size=32, val_tiles=7, batch_size=2)
    data = open_data(config).val
    shares = []
    for rank in range(3):
        place = Place(device=torch.device("cpu"), dtype=torch.float32, rank=rank, world=3)
        shares += [image for images, _ in val_loader(config, data, place) for image in images]
    assert len(shares) == 7
    assert {one.numpy().tobytes() for one in shares} == {
        data[n][0].numpy().tobytes() for n in range(7)
    }


def test_overlapping_patches_of_a_large_picture_agree_with_the_picture_at_once():
    class Darker(torch.nn.Module):
        def forward(self, x):
            return x.mean(1, keepdim=True)

    image = draw_tile(0, 0, 100).image
    device = torch.device("cpu")
    parts = chances_of(Darker(), image, 32, device)
    whole = chances_of(Darker(), image, 100, device)
    assert parts.shape == (1, 100, 100)
    assert torch.allclose(parts, whole, atol=1e-5)
