"""The diffusion trainer with somebody's text encoder, frozen, from a folder of transformers."""

import shutil
from dataclasses import replace

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    T5Config,
    T5EncoderModel,
)

import ckptkit
from ckptkit.errors import MismatchError, NotFoundError, SettingError
from ckptkit.testing.trainer_contract import final_of
from ckptkit_trainers.diffusion.config import Config, SampleOptions
from ckptkit_trainers.diffusion.digits import WORDS
from ckptkit_trainers.diffusion.draw import Painter
from ckptkit_trainers.diffusion.model import frozen_encoder
from ckptkit_trainers.diffusion.sample import sample
from ckptkit_trainers.diffusion.train import train
from ckptkit_trainers.diffusion.words import MARKS, PretrainedTokens, _tokenizer
from ckptkit_trainers.engine.place import Place
from tests.trainers.seeds_diffusion import TINY


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A text encoder and its tokenizer, as ``save_pretrained`` writes them."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    sizes = {"hidden_size": 12, "intermediate_size": 12, "num_hidden_layers": 1}
    BertModel(
        BertConfig(vocab_size=32, num_attention_heads=2, max_position_embeddings=16, **sizes)
    ).save_pretrained(folder)
    words = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer((*MARKS, *WORDS), 8), pad_token="[PAD]", unk_token="[UNKNOWN]"
    )
    words.save_pretrained(folder)
    return folder


def test_a_frozen_encoder_is_kept_once_a_run_and_reads_as_it_always_did(tmp_path, encoder):
    config = Config(**TINY | {"text": str(encoder), "clips": 8, "sample_every": 0})
    train(config, tmp_path / "run")
    final = final_of(tmp_path / "run")
    before = BertModel.from_pretrained(encoder, local_files_only=True).state_dict()
    with ckptkit.load(final) as checkpoint:
        assert {"model", "ema", "text_encoder"} <= set(checkpoint.document)
        assert "words" not in checkpoint.document, "the encoder's folder has its own"
        names = set(checkpoint.document["model"])
        kept = checkpoint.state("text_encoder")
    assert not [name for name in names if name.startswith("text.")]
    assert all(torch.equal(kept[name], before[name]) for name in before)
    first, second = (
        final.parent / f"checkpoint_epoch_{epoch}" / "text_encoder.safetensors" for epoch in (1, 2)
    )
    assert first.samefile(second), "its bytes are stored once"
    drawn = sample(final, config, SampleOptions(steps=1, num_samples=2, out=str(tmp_path / "out")))
    assert len(drawn["clips"]) == 2


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    config = Config(**TINY | {"text": str(tmp_path)})
    with pytest.raises(NotFoundError, match=r"has no tokenizer_config.json; .* save_pretrained"):
        train(config, tmp_path / "run")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"has no config.json; .* save_pretrained"):
        frozen_encoder(config)
    with pytest.raises(NotFoundError, match=r"gone: is no folder here; .* now: --text FOLDER"):
        train(replace(config, text=str(tmp_path / "gone")), tmp_path / "run")


def test_captions_that_are_longer_than_the_encoder_reads_are_refused(tmp_path, encoder):
    config = Config(**TINY | {"text": str(encoder), "caption_length": 20})
    with pytest.raises(SettingError, match=r"--caption-length: is 20; expected at most 16"):
        train(config, tmp_path / "run")


def test_what_is_no_text_encoder_is_refused_by_its_type(tmp_path, encoder):
    shutil.copytree(encoder, tmp_path / "eye")
    ResNetConfig().save_pretrained(tmp_path / "eye")
    config = Config(**TINY | {"text": str(tmp_path / "eye")})
    with pytest.raises(MismatchError, match=r"of the type 'resnet'; expected a text encoder"):
        train(config, tmp_path / "run")


def test_of_t5_the_half_that_reads_is_taken(tmp_path, encoder):
    shutil.copytree(encoder, tmp_path / "t5")
    sizes = {"d_model": 12, "d_kv": 6, "d_ff": 12, "num_layers": 1, "num_heads": 2}
    T5EncoderModel(T5Config(vocab_size=32, **sizes)).save_pretrained(tmp_path / "t5")
    config = Config(**TINY | {"text": str(tmp_path / "t5"), "clips": 8, "epochs": 1})
    train(config, tmp_path / "run")
    assert final_of(tmp_path / "run").is_dir()


def test_padding_is_not_read(encoder):
    """A caption means the same, however many places are left behind it."""
    tokens = [PretrainedTokens(encoder, length=length) for length in (6, 12)]
    frozen = frozen_encoder(Config(text=str(encoder)))
    place = Place(device=torch.device("cpu"), dtype=torch.float32)
    read = [
        Painter(None, frozen, one, place).read(one(["three moving left"])) for one in tokens
    ]  # fmt: skip
    n_words = int(tokens[0].there(tokens[0](["three moving left"])).sum())
    assert 3 <= n_words < 6
    assert torch.allclose(read[0][:, :n_words], read[1][:, :n_words], atol=1e-6)
