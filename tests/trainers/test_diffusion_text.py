"""The diffusion trainer with somebody's text encoder, frozen, from a folder of transformers."""

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import ckptkit
from ckptkit.errors import NotFoundError
from ckptkit.testing.trainer_contract import final_of
from ckptkit_trainers.diffusion.config import Config, SampleOptions
from ckptkit_trainers.diffusion.digits import WORDS
from ckptkit_trainers.diffusion.model import frozen_encoder
from ckptkit_trainers.diffusion.sample import sample
from ckptkit_trainers.diffusion.train import train
from ckptkit_trainers.diffusion.words import MARKS, _tokenizer
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
        frozen_encoder(tmp_path)
