"""Hooks against what models say themselves: `walk`, eager attention, PyTorch's own weights."""

import copy
import warnings
from math import sqrt

import pytest
import torch
from small import TOKENS, VOCABULARY, pictures, sentences, shaken, shape
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from optima_lab.coca.forward import every_layer, token_logits, walk
from optima_lab.coca.model import build
from optima_lab.distill.attention import AttentionCall
from optima_lab.distill.capture import Capture, CapturedLayer, Layers, find, unwrapped
from optima_lab.errors import ConfigError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
EXACT = {"rtol": 0, "atol": 1e-6}
COCA = {
    "image": Layers("visual.transformer.resblocks.*"),
    "text": Layers("text.transformer.resblocks.*"),
    "decoder": Layers("text_decoder.cross_attn.*", "text_decoder.resblocks.*"),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def captured(model: nn.Module, globs: dict[str, Layers], forward) -> dict[str, list[CapturedLayer]]:
    capture = Capture(model, find(model, globs))
    with torch.no_grad():
        capture.run(forward)
    return {module: capture.captured(module) for module in globs}


def softmaxed(call: AttentionCall) -> Tensor:
    """(sequence, head, query, key): what eager attention would have, from what was seen of it."""
    query, key = call.query, call.key.repeat_interleave(call.query.shape[1] // call.key.shape[1], 1)
    scores = query @ key.mT * call.scale
    torch.testing.assert_close(call.scores(), scores.mean(1), rtol=1e-5, atol=1e-6)
    allowed = call.allowed()
    return (scores if allowed is None else scores.masked_fill(~allowed[:, None], -1e30)).softmax(-1)


def agree(seen: list[CapturedLayer], weights, real: Tensor | None = None) -> None:
    """Layer by layer within 1e-6, at the queries that are real."""
    assert len(seen) == len(weights) > 1
    for layer, eager in zip(seen, weights, strict=True):
        assert layer.call is not None
        ours = softmaxed(layer.call)
        rows = torch.ones(ours.shape[0], ours.shape[2], dtype=torch.bool) if real is None else real
        torch.testing.assert_close(at(ours, rows), at(eager, rows), **EXACT)


def at(weights: Tensor, rows: Tensor) -> Tensor:
    """The rows of real queries, (row, head, key)."""
    return weights.transpose(1, 2)[rows]


@pytest.mark.parametrize("kernel", ["trained", "evaluated"])
def test_coca_through_hooks_is_the_walk(kernel: str):
    model = shaken(build(shape(layers=(2, 3, 2)), 0)).train(kernel == "trained")
    images, tokens = pictures(4), sentences(9, 3, 5, 8)
    capture = Capture(model, find(model, COCA))
    with torch.no_grad():
        logits = capture.run(lambda: model(images[:, 0], tokens, output_labels=False)["logits"])
        trace = walk(model, images, tokens, collect=every_layer(model))
        torch.testing.assert_close(logits, token_logits(model, trace), **CLOSE)
        for module in COCA:
            seen = capture.captured(module)
            torch.testing.assert_close([layer.hidden for layer in seen], trace.hidden[module], **CLOSE)
            scores = [layer.call.scores() for layer in seen if layer.call is not None]
            torch.testing.assert_close(scores, trace.attention[module], **CLOSE)
    allowed = capture.captured("decoder")[0].call.allowed()
    torch.testing.assert_close(allowed, torch.ones(1, TOKENS, TOKENS, dtype=torch.bool).tril())
    assert logits.shape[-1] == VOCABULARY


def test_scores_of_grouped_queries_by_hand():
    """Two query heads of one key head, width 1: q = 1, 3 and k = 2 give scores 2 and 6 times the scale, mean 4."""
    query, key = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1), torch.tensor([2.0]).view(1, 1, 1, 1)
    assert AttentionCall(query, key, 0.5).scores().item() == 2.0


def test_masks_of_all_kinds_say_what_may_be_seen():
    query = torch.zeros(2, 3, 2, 4)
    causal = torch.tensor([[True, False], [True, True]])
    added = torch.zeros(2, 1, 2, 2).masked_fill(~causal, torch.finfo(torch.float32).min)
    assert AttentionCall(query, query, 1.0).allowed() is None
    calls = [
        AttentionCall(query, query, 1.0, causal=True),
        AttentionCall(query, query, 1.0, causal[None, None]),
        AttentionCall(query, query, 1.0, added),
        AttentionCall(query, query, 1.0, added.masked_fill(added < 0, float("-inf")).expand(2, 3, 2, 2)),
    ]
    for call in calls:
        assert call.allowed().expand(2, 2, 2).tolist() == [causal.tolist()] * 2
    keys = torch.tensor([[True, True], [True, False]])[:, None, None]
    assert AttentionCall(query, query, 1.0, keys).allowed().tolist() == [[[True, True]] * 2, [[True, False]] * 2]


# ---- PyTorch and timm -----------------------------------------------------------------------------------------------


def encoder(layers: int = 2, width: int = 8) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return shaken(nn.TransformerEncoder(layer, layers, enable_nested_tensor=True), 0.2).eval()


@pytest.mark.parametrize("padded", [False, True])
def test_encoder_layers_leave_their_fast_path_and_are_seen(padded: bool):
    model, x = encoder(), torch.randn(3, 5, 8)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = padded
    given = padding if padded else None
    seen = captured(model, {"text": Layers("layers.*")}, lambda: model(x, src_key_padding_mask=given))["text"]
    for block, layer in zip(model.layers, seen, strict=True):
        out, weights = block.self_attn(x, x, x, key_padding_mask=given, need_weights=True, average_attn_weights=False)
        torch.testing.assert_close(at(softmaxed(layer.call), ~padding), at(weights, ~padding), **EXACT)
        x = block.norm1(x + out)
        x = block.norm2(x + block.linear2(F.relu(block.linear1(x))))
        torch.testing.assert_close(layer.hidden, x, **CLOSE)
    assert torch.backends.mha.get_fastpath_enabled()


def test_timms_vit():
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(8, 4, embed_dim=12, depth=2, num_heads=3, num_classes=2, qk_norm=True).eval()
    images, plain = torch.randn(2, 3, 8, 8), []
    seen = captured(model, {"image": Layers("blocks.*")}, lambda: model(images))["image"]
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda _, inputs, __: plain.append(inputs[0]))
    with torch.no_grad():
        model(images)
    agree(seen, plain)


# ---- Hugging Face ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hf():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports are not ours to judge
        return pytest.importorskip("transformers", reason="needs the extra hf")


def both_ways(model: nn.Module, globs: dict[str, Layers], **batch) -> tuple[dict[str, list[CapturedLayer]], object]:
    """What hooks see of the model as it is, and the output of a copy with eager attention and its weights."""
    shaken(model, 0.1).eval()
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        output = eager(**batch, output_attentions=True)
    seen = captured(model, globs, lambda: model(**batch))
    for module, layers in captured(eager, globs, lambda: eager(**batch)).items():  # eager is seen, too
        for ours, theirs in zip(seen[module], layers, strict=True):
            torch.testing.assert_close(ours.call.scores(), theirs.call.scores(), **CLOSE)
    return seen, output


def padded_batch(lengths: list[int], total: int = 7) -> dict[str, Tensor]:
    mask = torch.arange(total) < torch.tensor(lengths)[:, None]
    return {"input_ids": torch.randint(3, 30, mask.shape), "attention_mask": mask.long()}


SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}


def test_clip(hf):
    text = {**SIZES, "vocab_size": 30, "max_position_embeddings": 9, "eos_token_id": 2, "bos_token_id": 1}
    config = hf.CLIPConfig(
        text_config=text, vision_config={**SIZES, "image_size": 8, "patch_size": 4}, projection_dim=8
    )
    batch = padded_batch([7, 4]) | {"pixel_values": torch.randn(2, 3, 8, 8)}
    globs = {"image": Layers("vision_model.encoder.layers.*"), "text": Layers("text_model.encoder.layers.*")}
    seen, output = both_ways(hf.CLIPModel(config), globs, **batch)
    agree(seen["image"], output.vision_model_output.attentions)
    agree(seen["text"], output.text_model_output.attentions, batch["attention_mask"].bool())


@pytest.mark.parametrize("lengths", [[7, 7], [7, 4]], ids=["whole", "padded"])
@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
def test_rotary_positions_and_grouped_queries(hf, kind: str, lengths: list[int]):
    """Two key heads for four query heads; Qwen3 norms queries and keys."""
    config = getattr(hf, f"{kind}Config")(**SIZES, vocab_size=30, num_key_value_heads=2, head_dim=4)
    batch = padded_batch(lengths)
    seen, output = both_ways(getattr(hf, f"{kind}Model")(config), {"text": Layers("layers.*")}, **batch)
    assert seen["text"][0].call.key.shape[1] == 2
    agree(seen["text"], output.attentions, batch["attention_mask"].bool())


def test_whispers_three_attentions(hf):
    config = hf.WhisperConfig(
        vocab_size=30, d_model=16, num_mel_bins=8, max_source_positions=6, max_target_positions=9,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_ffn_dim=24, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    globs = {
        "audio": Layers("encoder.layers.*"),
        "decoder": Layers("decoder.layers.*"),
        "cross": Layers("decoder.layers.*", "decoder.layers.*.encoder_attn"),
    }
    batch = {"input_features": torch.randn(2, 8, 12), "decoder_input_ids": torch.randint(3, 30, (2, 5))}
    seen, output = both_ways(hf.WhisperModel(config), globs, **batch)
    agree(seen["audio"], output.encoder_attentions)
    agree(seen["decoder"], output.decoder_attentions)
    agree(seen["cross"], output.cross_attentions)
    assert seen["cross"][0].call.key.shape[2] == 6


# ---- what is refused, and what is left alone ------------------------------------------------------------------------


def test_nothing_is_seen_or_changed_outside_a_forward_of_ours():
    model, x, kernel = encoder(), torch.randn(2, 3, 8), F.scaled_dot_product_attention
    capture = Capture(model, find(model, {"text": Layers("layers.*")}))
    inside = capture.run(lambda: F.scaled_dot_product_attention)
    assert inside is not kernel and F.scaled_dot_product_attention is kernel
    model(x)
    with pytest.raises(ConfigError, match=r"layers.0 must run once in a forward, ran 0 times"):
        capture.captured("text")
    with pytest.raises(ZeroDivisionError):
        capture.run(lambda: 1 // 0)
    assert F.scaled_dot_product_attention is kernel and torch.backends.mha.get_fastpath_enabled()


def test_a_glob_that_matches_nothing_is_told_the_lists_of_layers():
    with pytest.raises(
        ConfigError, match=r"'text': a part of the model must match 'layer.\*', none does; .* layers\.\*$"
    ):
        find(encoder(), {"text": Layers("layer.*")})
    with pytest.raises(ConfigError, match="it has no list of layers"):
        find(nn.Linear(1, 1), {"text": Layers("x")})
    with pytest.raises(ConfigError, match=r"as many parts for attention as for hidden states, got 1 .* and 2"):
        find(encoder(), {"text": Layers("layers.*", "layers.0")})


def test_a_star_stands_for_one_part_of_a_name():
    found = find(encoder(), {"text": Layers("layers.*")})["text"]
    assert [place.parts for place in found] == [("layers.0",) * 2, ("layers.1",) * 2]
    assert len(find(encoder(12), {"text": Layers("*.1?")})["text"]) == 2


def test_wrappers_are_looked_through():
    model = encoder()
    assert unwrapped(torch.compile(model, backend="eager")) is model
    assert unwrapped(nn.DataParallel(model)) is model


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.layers, self.reentrant = encoder().layers, reentrant

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant)
        return x


def test_checkpointing_keeps_the_gradient_or_is_refused():
    plain, x = Checkpointed(False).train(), torch.randn(2, 3, 8)
    expected = torch.autograd.grad(gradient_of(plain.layers, x, plain), list(plain.parameters()), allow_unused=True)
    straight = nn.Sequential(*plain.layers)
    found = torch.autograd.grad(gradient_of(straight, x, straight), list(plain.parameters()), allow_unused=True)
    torch.testing.assert_close([g for g in found if g is not None], [g for g in expected if g is not None], **CLOSE)
    assert expected[0] is not None and expected[0].abs().sum() > 0
    capture = Capture(reentrant := Checkpointed(True), find(reentrant, {"text": Layers("layers.*")}))
    with pytest.raises(ConfigError, match=r"layers.0 ran without: checkpoint with use_reentrant=False"):
        capture.run(lambda: reentrant(x.requires_grad_()))


def gradient_of(parts, x: Tensor, model: nn.Module) -> Tensor:
    """A function of the attention scores alone."""
    glob = "*" if isinstance(parts, nn.Sequential) else "layers.*"
    capture = Capture(model, find(model, {"text": Layers(glob)}))
    capture.run(lambda: model(x))
    return torch.stack([layer.call.scores().square().mean() for layer in capture.captured("text")]).sum()


def test_hidden_states_that_are_none_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Flatten())
    capture = Capture(model, find(model, {"image": Layers("*")}))
    capture.run(lambda: model(torch.zeros(2, 3, 4)))
    with pytest.raises(ConfigError, match=r"layer 0 must return \(sequence, token, width\), got \(2, 12\)"):
        capture.captured("image")


def test_a_layer_that_runs_twice_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    capture = Capture(model, find(model, {"text": Layers("*")}))
    capture.run(lambda: model(model(torch.zeros(1, 1, 2))))
    with pytest.raises(ConfigError, match="ran 2 times"):
        capture.captured("text")


def test_projected_queries_are_not_what_the_kernel_gets():
    """The planted mistake: q and k taken from the projections of a model with rotary positions."""
    pytest.importorskip("transformers", reason="needs the extra hf")
    from transformers import LlamaConfig, LlamaModel

    model = shaken(LlamaModel(LlamaConfig(**SIZES, vocab_size=30, num_key_value_heads=4)), 0.3).eval()
    projected = {}
    attention = model.layers[0].self_attn
    for name in ("q_proj", "k_proj"):
        getattr(attention, name).register_forward_hook(lambda _, __, out, name=name: projected.update({name: out}))
    ids = torch.randint(3, 30, (2, 7))
    (first, _) = captured(model, {"text": Layers("layers.*")}, lambda: model(input_ids=ids))["text"]
    naive = projected["q_proj"] @ projected["k_proj"].mT / (4 * sqrt(4))
    assert (naive - first.call.scores()).norm() > 0.1 * first.call.scores().norm()


# ---- projections that a user names ----------------------------------------------------------------------------------


class ByHand(nn.Module):
    """Attention that no kernel computes, its two projections in the order that BART has them, or one for all."""

    q: nn.Linear
    k: nn.Linear

    def __init__(self, fused: bool, norm: bool = False) -> None:
        super().__init__()
        if fused:
            self.qkv = nn.Linear(12, 36)
        else:
            self.k, self.q, self.v = nn.Linear(12, 6), nn.Linear(12, 12), nn.Linear(12, 6)  # two heads share a key
        self.q_norm = nn.LayerNorm(3) if norm else nn.Identity()
        self.scores = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).chunk(3, -1) if hasattr(self, "qkv") else (self.q(x), self.k(x), self.v(x))
        query, key, value = (part.unflatten(-1, (-1, 3)).transpose(1, 2) for part in parts)
        key, value = (part.repeat_interleave(4 // part.shape[1], 1) for part in (key, value))
        self.scores = query @ key.mT / sqrt(3)
        return x + (self.scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(("fused", "glob"), [(True, "*.qkv"), (False, "*.[qk]")])
def test_projections_that_are_named_are_what_is_multiplied(fused: bool, glob: str):
    model = nn.Sequential(ByHand(fused), ByHand(fused))
    given = torch.randn(2, 5, 12)
    seen = captured(model, {"text": Layers("*", glob, heads=4)}, lambda: model(given))["text"]
    for layer, block in zip(seen, model, strict=True):
        torch.testing.assert_close(layer.call.scores(), block.scores.mean(1), **CLOSE)
        torch.testing.assert_close(softmaxed(layer.call), block.scores.softmax(-1), **EXACT)


class Turning(nn.Sequential):
    """A stand-in for a language model: its rotary positions are above its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rotary_emb, self.layers = RotaryEmbedding(), nn.Sequential(ByHand(True), ByHand(True))


class RotaryEmbedding(nn.Module):
    """Named as those of transformers are."""


@pytest.mark.parametrize(
    ("model", "layers", "line"),
    [
        (Turning(), Layers("layers.*", "layers.*.qkv", 4), "rotary_emb turns what layers.0.qkv projects"),
        (nn.Sequential(ByHand(True, norm=True)), Layers("*", "*.qkv", 4), "0.q_norm norms what 0.qkv projects"),
        (nn.Sequential(ByHand(False)), Layers("*", "*.[kv]", 4), r"called after its queries .* got 0.k and 0.v"),
        (nn.Sequential(ByHand(False)), Layers("*", "*.[qkv]", 4), "as many parts for attention as for hidden states"),
    ],
)
def test_projections_that_are_not_what_is_multiplied_are_refused(model: nn.Module, layers: Layers, line: str):
    with pytest.raises(ConfigError, match=line) as caught:
        find(model, {"text": layers})
    assert "\n" not in str(caught.value)


def test_rotary_positions_of_another_part_turn_nothing_here():
    model = nn.Module()
    model.language, model.vision = Turning(), nn.Sequential(ByHand(True))
    assert find(model, {"image": Layers("vision.*", "vision.*.qkv", 4)})["image"][0].heads == 4


def test_heads_must_divide_the_width_and_be_left_out_where_a_kernel_is_called():
    model, given = nn.Sequential(ByHand(True)), torch.randn(2, 5, 12)
    with pytest.raises(ConfigError, match=r"heads must divide the widths .* 12 and 12 in 0, got 5"):
        captured(model, {"text": Layers("*", "*.qkv", 5)}, lambda: model(given))
    from timm.models.vision_transformer import VisionTransformer

    vit = VisionTransformer(8, 4, embed_dim=12, depth=2, num_heads=3, num_classes=2)
    with pytest.raises(ConfigError, match=r"heads must be left out where a kernel is called, as in blocks.0.attn:"):
        captured(vit, {"image": Layers("blocks.*", "blocks.*.attn.qkv", 3)}, lambda: vit(torch.randn(2, 3, 8, 8)))
