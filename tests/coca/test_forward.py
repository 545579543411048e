"""`walk` against open_clip's own forward, PyTorch's own attention and plain re-implementations."""

from math import sqrt

import pytest
import torch
from small import TOKENS, VOCABULARY, WIDTH, pictures, sentences, shaken, shape
from torch.nn import functional as F

from optima_lab.bandits.arms import ARMS, MODULES
from optima_lab.coca.forward import CoCaFeatures, every_layer, features, token_logits, walk, walk_decoder
from optima_lab.coca.model import build
from optima_lab.distill.trace import AttentionSpec

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
HEADS = WIDTH // 8


def coca(seed: int = 0, **changes):
    return shaken(build(shape(**changes), seed)).eval()


@pytest.mark.parametrize("queries", [0, 5], ids=["no poolers", "cascaded poolers"])
@pytest.mark.parametrize("correct_cls_mask", [True, False])
def test_the_walk_is_open_clips_forward(queries: int, correct_cls_mask: bool):
    model = coca(image_queries=queries)
    model.text.correct_cls_mask = correct_cls_mask
    images, tokens = pictures(4), sentences(9, 3, 5, 8)
    with torch.no_grad():
        theirs = model(images[:, 0], tokens, output_labels=False)
        trace = walk(model, images, tokens, collect=every_layer(model))
        image = theirs["image_features"].view(4, WIDTH)  # open_clip keeps the cascade's one query as a dimension
        seen = [F.normalize(feature, dim=-1) for feature in features(model, trace)]
        torch.testing.assert_close(seen, [image, theirs["text_features"]], **CLOSE)
        torch.testing.assert_close(token_logits(model, trace), theirs["logits"], **CLOSE)
        assert trace.image_tokens.shape == (4, queries or 4, WIDTH)  # 2 × 2 patches without the class token


@pytest.mark.parametrize("correct_cls_mask", [True, False])
def test_cutting_off_common_padding_changes_nothing(correct_cls_mask: bool):
    """Down to the longest text and one column more; the features, and all that masks let through."""
    model = coca()
    model.text.correct_cls_mask = correct_cls_mask
    images, tokens = pictures(3), sentences(3, 6, 5)
    with torch.no_grad():
        whole, cut = (walk(model, images, each, collect=every_layer(model)) for each in (tokens, tokens[:, :7]))
    torch.testing.assert_close(cut.text_cls, whole.text_cls, **CLOSE)
    assert tokens.shape[1] == TOKENS > 7
    for module in ("text", "decoder"):
        for kind, mask in (("hidden", "token_mask"), ("attention", "pair_mask")):
            kept, all = getattr(cut, mask)[module], getattr(whole, mask)[module]
            assert kept.sum() == all.sum()
            for ours, theirs in zip(getattr(cut, kind)[module], getattr(whole, kind)[module], strict=True):
                torch.testing.assert_close(ours[kept], theirs[all], **CLOSE)


def test_the_walk_is_open_clips_forward_for_gradients_too():
    model, images, tokens = coca(), pictures(3), sentences(9, 4, 6)
    theirs = model(images[:, 0], tokens, output_labels=False)["logits"].square().mean()
    expected = torch.autograd.grad(theirs, list(model.parameters()), allow_unused=True)
    ours = token_logits(model, walk(model, images, tokens, collect=every_layer(model))).square().mean()
    found = torch.autograd.grad(ours, list(model.parameters()), allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **CLOSE)


def test_hidden_states_are_the_blocks_outputs():
    """Including: a decoder layer's hidden state is what its cross-attention block gives, not its self-attention."""
    model, images, tokens = coca(), pictures(2), sentences(6, 9)
    seen: dict[str, list] = {module: [] for module in MODULES}
    towers = (model.visual.transformer.resblocks, model.text.transformer.resblocks, model.text_decoder.cross_attn)
    for module, blocks in zip(MODULES, towers, strict=True):
        for block in blocks:
            block.register_forward_hook(lambda _, __, out, module=module: seen[module].append(out))
    with torch.no_grad():
        model(images[:, 0], tokens, output_labels=False)
        trace = walk(model, images, tokens, collect=every_layer(model))
    for module in MODULES:
        assert len(trace.hidden[module]) == len(seen[module]) == 2
        for ours, theirs in zip(trace.hidden[module], seen[module], strict=True):
            torch.testing.assert_close(ours, theirs, **CLOSE)


def attention_inputs(model, images, tokens) -> dict[str, list]:
    """(attention module, queries, keys) of every attention in open_clip's own forward."""
    calls: dict[str, list] = {"image": [], "text": [], "self": [], "cross": []}
    towers = {
        "image": model.visual.transformer.resblocks,
        "text": model.text.transformer.resblocks,
        "self": model.text_decoder.resblocks,
        "cross": model.text_decoder.cross_attn,
    }
    hooks = [
        block.attn.register_forward_pre_hook(lambda attn, args, name=name: calls[name].append((attn, *args[:2])))
        for name, blocks in towers.items()
        for block in blocks
    ]
    with torch.no_grad():
        model(images[:, 0], tokens, output_labels=False)
    for hook in hooks:
        hook.remove()
    return calls


def head_scores(attn, queries, keys) -> torch.Tensor:
    """(batch, head, query, key): q kᵀ / √d_h, head by head, from the rows of in_proj that belong to the head."""
    d, h = attn.embed_dim, attn.num_heads
    scores = []
    for head in range(h):
        rows = slice(head * d // h, (head + 1) * d // h)
        q = queries @ attn.in_proj_weight[:d][rows].T + attn.in_proj_bias[:d][rows]
        k = keys @ attn.in_proj_weight[d : 2 * d][rows].T + attn.in_proj_bias[d : 2 * d][rows]
        scores.append(q @ k.transpose(1, 2) / sqrt(d / h))
    return torch.stack(scores, 1)


CASES = [
    ("image", "image", "self"),
    ("text", "text", "self"),
    ("decoder", "self", "self"),
    ("decoder", "cross", "cross"),
]


@pytest.mark.parametrize(("module", "name", "which"), CASES, ids=["image", "text", "decoder self", "decoder cross"])
def test_scores_are_the_heads_mean_before_the_softmax(module: str, name: str, which: str):
    model, images, tokens = coca(), pictures(3), sentences(9, 3, 6)
    calls = attention_inputs(model, images, tokens)[name]
    with torch.no_grad():
        trace = walk(model, images, tokens, collect=every_layer(model), spec=AttentionSpec("scores", which))
        assert len(trace.attention[module]) == len(calls) == 2
        for ours, call in zip(trace.attention[module], calls, strict=True):
            torch.testing.assert_close(ours, head_scores(*call).mean(1), **CLOSE)


@pytest.mark.parametrize(("module", "name", "which"), CASES, ids=["image", "text", "decoder self", "decoder cross"])
def test_weights_are_pytorchs_own_and_scores_their_logarithm(module: str, name: str, which: str):
    """nn.MultiheadAttention(need_weights=True) on the same inputs; its log is the score up to the row's constant."""
    model, images, tokens = coca(), pictures(3), sentences(9, 3, 6)
    calls = attention_inputs(model, images, tokens)[name]
    with torch.no_grad():
        weights, scores = (
            walk(model, images, tokens, collect=every_layer(model), spec=AttentionSpec(kind, which))
            for kind in ("weights", "scores")
        )
        real = tokens != 0
        causal = torch.ones(10, 10, dtype=torch.bool).tril()
        allowed = {
            "image": None,
            "text": causal & torch.cat([real, real.new_ones(3, 1)], 1)[:, None],
            "self": causal[:9, :9].expand(3, 9, 9),
            "cross": None,
        }[name]
        forbidden = None if allowed is None else (~allowed).repeat_interleave(HEADS, 0)
        for n, (attn, queries, keys) in enumerate(calls):
            _, each = attn(queries, keys, keys, attn_mask=forbidden, need_weights=True, average_attn_weights=False)
            torch.testing.assert_close(weights.attention[module][n], each.mean(1), **CLOSE)
            # Where every key is allowed: mean over heads of log weights, both without their row's mean.
            log = each.log().mean(1)
            rows = slice(None) if allowed is None else slice(-1, None)  # the last query of the full first text
            ours, theirs = scores.attention[module][n][0, rows], log[0, rows]
            torch.testing.assert_close(
                ours - ours.mean(-1, keepdim=True), theirs - theirs.mean(-1, keepdim=True), rtol=1e-4, atol=1e-4
            )


def calls_of_blocks(model, monkeypatch) -> dict[str, int]:
    """How often each tower's attention is used, whoever calls it."""
    from optima_lab.coca import forward as module

    names = {}
    for name, blocks in (
        ("image", model.visual.transformer.resblocks),
        ("text", model.text.transformer.resblocks),
        ("decoder", [*model.text_decoder.resblocks, *model.text_decoder.cross_attn]),
    ):
        names |= {id(block.attn): name for block in blocks}
    counts = dict.fromkeys(MODULES, 0)
    original = module.attend

    def counted(attn, *args):
        counts[names[id(attn)]] += 1
        return original(attn, *args)

    monkeypatch.setattr(module, "attend", counted)
    return counts


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "+".join(sorted(arm)))
def test_only_the_modules_of_the_arm_are_run(arm, monkeypatch):
    """The decoder reads both encoders, so it brings them along; nothing else does."""
    model = coca(layers=(3, 2, 1))
    counts = calls_of_blocks(model, monkeypatch)
    collect = {module: every_layer(model)[module] for module in arm}
    with torch.no_grad():
        trace = walk(model, pictures(2), sentences(5, 9), run=arm, collect=collect)
    everything = {"image": 3, "text": 2, "decoder": 2}  # one decoder layer: self- and cross-attention
    run = set(MODULES) if "decoder" in arm else arm
    assert counts == {module: everything[module] * (module in run) for module in MODULES}
    assert set(trace.hidden) == set(trace.attention) == arm


def test_nothing_is_run_for_nothing(monkeypatch):
    model = coca()
    counts = calls_of_blocks(model, monkeypatch)
    trace = walk(model, pictures(2), sentences(5, 9), run=frozenset())
    assert not any(counts.values())
    assert trace == CoCaFeatures()


def test_collect_takes_only_the_layers_asked_for():
    model, images, tokens = coca(layers=(3, 2, 2)), pictures(2), sentences(5, 9)
    with torch.no_grad():
        everything = walk(model, images, tokens, collect=every_layer(model))
        some = walk(model, images, tokens, collect={"image": (1, 3), "decoder": [2]})
        nothing = walk(model, images, tokens)
    assert [len(everything.hidden[module]) for module in MODULES] == [3, 2, 2]
    assert {module: len(layers) for module, layers in some.hidden.items()} == {"image": 2, "decoder": 1}
    for kind in ("hidden", "attention"):
        whole, part = getattr(everything, kind), getattr(some, kind)
        torch.testing.assert_close(part["image"], [whole["image"][0], whole["image"][2]])
        torch.testing.assert_close(part["decoder"], [whole["decoder"][1]])
    assert nothing.hidden == nothing.attention == {}
    torch.testing.assert_close(nothing.decoded, everything.decoded)


def test_the_papers_decoder_is_self_cross_mlp():
    """Against PyTorch's own modules in the order that NOTES derives from Table 1's parameter counts."""
    model, images, tokens = coca(decoder="paper"), pictures(3), sentences(9, 3, 6)
    with torch.no_grad():
        trace = walk(model, images, tokens, collect=every_layer(model))
        _, picture = model.visual(images[:, 0])
        _, x = model.text(tokens)
        future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        for n, (own, cross) in enumerate(zip(model.text_decoder.resblocks, model.text_decoder.cross_attn, strict=True)):
            y = own.ln_1(x)
            x = x + own.attn(y, y, y, attn_mask=future)[0]
            keys = cross.ln_1_kv(picture)
            x = x + cross.attn(cross.ln_1(x), keys, keys)[0]
            x = x + cross.mlp(cross.ln_2(x))
            torch.testing.assert_close(trace.hidden["decoder"][n], x, **CLOSE)
        expected = model.text_decoder.ln_final(x) @ model.text_decoder.text_projection
        torch.testing.assert_close(token_logits(model, trace), expected, **CLOSE)


def test_nlvr2_is_two_sequences_and_its_text_runs_once():
    model, images, tokens = coca(), pictures(3, views=2), sentences(9, 3, 6)
    both = walk(model, images, tokens, collect=every_layer(model))
    assert both.hidden["text"][0].shape == (3, TOKENS + 1, WIDTH)
    assert both.hidden["image"][0].shape == (6, 5, WIDTH)
    assert both.decoded.shape == (6, TOKENS, WIDTH)
    for side in (0, 1):
        single = walk(model, images[:, side : side + 1], tokens, collect=every_layer(model))
        for name in ("decoded", "image_tokens", "image_pooled"):
            torch.testing.assert_close(getattr(both, name)[side::2], getattr(single, name), **CLOSE)
        for module in ("image", "decoder"):
            for kind in ("hidden", "attention"):
                mine, theirs = getattr(both, kind)[module], getattr(single, kind)[module]
                torch.testing.assert_close([x[side::2] for x in mine], theirs, **CLOSE)
        for mask in ("token_mask", "pair_mask"):
            assert torch.equal(getattr(both, mask)["decoder"][side::2], getattr(single, mask)["decoder"])


@pytest.mark.parametrize("correct_cls_mask", [True, False])
def test_what_stands_at_padding_changes_no_real_token(correct_cls_mask: bool):
    model, images, tokens = coca(), pictures(3), sentences(9, 3, 6)
    model.text.correct_cls_mask = correct_cls_mask
    with torch.no_grad():
        before = walk(model, images, tokens, collect=every_layer(model))
        model.text.token_embedding.weight[0] = 10 * torch.randn(WIDTH)
        after = walk(model, images, tokens, collect=every_layer(model))
    real = tokens != 0
    assert not torch.allclose(before.decoded[~real], after.decoded[~real], atol=0.1)
    torch.testing.assert_close(before.decoded[real], after.decoded[real])
    if correct_cls_mask:
        torch.testing.assert_close(before.text_cls, after.text_cls)
        for module in ("text", "decoder"):
            for n in range(2):
                tokens_ok, pairs_ok = before.token_mask[module], before.pair_mask[module]
                torch.testing.assert_close(before.hidden[module][n][tokens_ok], after.hidden[module][n][tokens_ok])
                torch.testing.assert_close(before.attention[module][n][pairs_ok], after.attention[module][n][pairs_ok])


def test_masks_by_hand():
    """A text of 3 tokens out of 9: text encoder has the CLS at the end, decoder has none; both are causal."""
    trace = walk(coca(), pictures(1), sentences(3))
    assert trace.token_mask["image"] is trace.pair_mask["image"] is None
    assert trace.token_mask["text"].tolist() == [[True] * 3 + [False] * 6 + [True]]
    assert trace.token_mask["decoder"].tolist() == [[True] * 3 + [False] * 6]
    text, decoder = trace.pair_mask["text"][0], trace.pair_mask["decoder"][0]
    assert text.sum() == 1 + 2 + 3 + 4  # three causal rows, and the CLS sees three tokens and itself
    assert text[9].nonzero().flatten().tolist() == [0, 1, 2, 9]
    assert decoder.nonzero().tolist() == [[0, 0], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]


def test_the_cross_view_masks_padded_queries_alone():
    trace = walk(coca(), pictures(1), sentences(3), spec=AttentionSpec("scores", "cross"))
    assert trace.pair_mask["decoder"].shape == (1, TOKENS, 4)
    assert trace.pair_mask["decoder"][0].all(-1).tolist() == [True] * 3 + [False] * 6


def test_a_future_token_changes_no_earlier_one():
    model, images, tokens = coca(), pictures(2), sentences(9, 9)
    other = tokens.clone()
    other[:, 6] = (tokens[:, 6] - 2) % (VOCABULARY - 3) + 3
    with torch.no_grad():
        a, b = (walk(model, images, t) for t in (tokens, other))
    torch.testing.assert_close(a.decoded[:, :6], b.decoded[:, :6])
    assert not torch.allclose(a.decoded[:, 6], b.decoded[:, 6])


def test_the_decoder_can_be_walked_later():
    """What `generate` does: encoders first, the decoder over their tokens."""
    model, images, tokens = coca(), pictures(2), sentences(5, 9)
    whole = walk(model, images, tokens)
    parts = walk(model, images, tokens, run=frozenset({"image", "text"}))
    assert parts.decoded is None
    walk_decoder(model, tokens, 1, parts)
    torch.testing.assert_close(parts.decoded, whole.decoded)
