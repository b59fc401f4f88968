"""The checkpoints that the hand-made multimodal brain wrote, by its own torch.save."""

import math

import torch
from torch import nn
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel

CONFIG = {"epochs": 50, "batch_size": 8, "lr": 2e-4, "d_shared": 24}


class OldBrain(nn.Module):
    """As the old code had it: torch's own encoder layers, with query, key and value in one."""

    def __init__(self, image_config=None, text_config=None, d_shared=24, layers=1, heads=2):
        super().__init__()
        self.img_enc = ResNetModel(image_config or small_image())
        self.txt_enc = BertModel(text_config or small_text(), add_pooling_layer=False)
        self.up_img = nn.Linear(16, d_shared)
        self.up_txt = nn.Linear(16, d_shared)
        self.modality_emb = nn.Parameter(0.02 * torch.randn(2, d_shared))
        self.brain_token = nn.Parameter(0.02 * torch.randn(d_shared))
        layer = nn.TransformerEncoderLayer(
            d_shared, heads, 2 * d_shared, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.brain = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.brain_norm = nn.LayerNorm(d_shared)
        self.word_head = nn.Linear(d_shared, self.txt_enc.config.vocab_size)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def summed_up(self, latents, there):
        token = self.brain_token.expand(len(latents), 1, -1)
        there = torch.cat([there.new_ones(len(there), 1), there], 1)
        joined = self.brain(torch.cat([token, latents], 1), src_key_padding_mask=~there)
        return nn.functional.normalize(self.brain_norm(joined)[:, 0], dim=-1)

    def image(self, pixels):
        grid = self.img_enc(pixel_values=(pixels - 0.5) / 0.5).last_hidden_state
        latents = self.up_img(grid.flatten(2).transpose(1, 2)) + self.modality_emb[0]
        return self.summed_up(latents, latents.new_ones(latents.shape[:2], dtype=torch.bool))

    def text(self, numbers):
        there = numbers != 0
        read = self.txt_enc(input_ids=numbers, attention_mask=there.long()).last_hidden_state
        return self.summed_up(self.up_txt(read) + self.modality_emb[1], there)


def small_image():
    return ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8, 16], depths=[1, 1, 1], layer_type="basic"
    )


def small_text():
    return BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                      intermediate_size=32, max_position_embeddings=12, pad_token_id=0,
                      hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)  # fmt: skip


def old_training(steps=3):
    """The old script's objects after some steps."""
    torch.manual_seed(5)
    model = OldBrain()
    optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG["lr"])
    pixels, numbers = torch.rand(4, 3, 16, 16), torch.randint(1, 60, (4, 6))
    for _ in range(steps):
        logits = model.logit_scale.exp() * model.image(pixels) @ model.text(numbers).T
        words = model.word_head(model.up_txt(model.txt_enc(input_ids=numbers).last_hidden_state))
        guessed = nn.functional.cross_entropy(words.flatten(0, 1), numbers.flatten())
        optimizer.zero_grad()
        (nn.functional.cross_entropy(logits, torch.arange(4)) + guessed).backward()
        optimizer.step()
    return model, optimizer


def save_new_format(path, epoch=42, global_step=158250):
    """The comprehensive format: epoch 42 says that 43 epochs are complete."""
    model, optimizer = old_training()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    torch.save({
        "epoch": epoch,
        "global_step": global_step,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "best_val": 0.2345,
        "val_loss": 0.2345,
        "scaler_state_dict": scaler.state_dict(),
        "config": CONFIG,
    }, path)  # fmt: skip
    return model, optimizer


def save_old_format(path):
    """The legacy format: the state_dict and nothing else."""
    model, _ = old_training()
    torch.save(model.state_dict(), path)
    return model
