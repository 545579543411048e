"""Notebook 22's models and their world: a picture, a sound, a question, and an answer that needs all three."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

THINGS = 6  # that are seen, heard and named
PATCHES, FRAMES, WORDS, ANSWER = 9, 8, 4, 3  # tokens of each module
SEE, HEAR, SAME, NO, YES, BEGIN = range(THINGS, THINGS + 6)
VOCABULARY = THINGS + 6
Batch = dict[str, Tensor]


class FourModules(nn.Module):
    """Encoders of picture, question and sound, and a decoder that attends to all they return.

    Every module has `layers` layers of `width`, which two heads divide.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.patch, self.frame = nn.Linear(8, width), nn.Linear(8, width)
        self.word = nn.Embedding(VOCABULARY, width)
        sizes = {"image": PATCHES, "text": WORDS, "audio": FRAMES, "decoder": ANSWER}
        self.place = nn.ParameterDict({name: nn.Parameter(0.1 * torch.randn(n, width)) for name, n in sizes.items()})
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True)
        encoders = [nn.TransformerEncoder(layer, layers, enable_nested_tensor=False) for _ in range(3)]
        self.image, self.text, self.audio = (_drawn_anew(encoder) for encoder in encoders)
        block = nn.TransformerDecoderLayer(width, 2, 2 * width, 0.0, batch_first=True)
        self.decoder, self.head = _drawn_anew(nn.TransformerDecoder(block, layers)), nn.Linear(width, VOCABULARY)

    def forward(
        self,
        patches: Float[Tensor, "batch 9 8"],
        frames: Float[Tensor, "batch 8 8"],
        words: Int[Tensor, "batch 4"],
        answer: Int[Tensor, "batch 3"],
    ) -> dict[str, Tensor]:
        """`logits` (batch, 3, vocabulary) of the answer's tokens, each after those before it, and their `loss`."""
        image = self.image(self.patch(patches) + self.place["image"])
        audio = self.audio(self.frame(frames) + self.place["audio"])
        text = self.text(self.word(words) + self.place["text"])
        before = F.pad(answer[:, :-1], (1, 0), value=BEGIN)
        causal = nn.Transformer.generate_square_subsequent_mask(ANSWER, device=answer.device)
        memory = torch.cat([image, audio, text], 1)
        logits = self.head(self.decoder(self.word(before) + self.place["decoder"], memory, tgt_mask=causal))
        return {"logits": logits, "loss": F.cross_entropy(logits.transpose(1, 2), answer)}


def _drawn_anew(stack: nn.Module) -> nn.Module:
    """PyTorch's stacks are copies of one layer, to the same numbers."""
    for part in stack.modules():
        if isinstance(part, nn.Linear):
            part.reset_parameters()
        elif isinstance(part, nn.MultiheadAttention):
            part._reset_parameters()
    return stack


def examples(count: int, seed: int, noise: float = 0.7) -> Batch:
    """What `FourModules` is given: `count` pictures, sounds and questions, and the answers.

    A thing is seen in one of the nine patches and heard in two frames after one another, among noise of this standard
    deviation. The question is what is seen or heard, or whether both are the same, and names a third. Answered are the
    question, whether seen and heard are the same, and the thing that was named.
    """
    random = torch.Generator().manual_seed(seed)
    look, sound = torch.randn(2, THINGS, 8, generator=torch.Generator().manual_seed(0)).unbind()
    seen, named = torch.randint(THINGS, (2, count), generator=random)
    heard = torch.where(
        torch.rand(count, generator=random) < 0.5, seen, torch.randint(THINGS, (count,), generator=random)
    )
    question = torch.randint(SEE, SAME + 1, (count,), generator=random)
    patches = noise * torch.randn(count, PATCHES, 8, generator=random)
    frames = noise * torch.randn(count, FRAMES, 8, generator=random)
    rows = torch.arange(count)
    patches[rows, torch.randint(PATCHES, (count,), generator=random)] += 2 * look[seen]
    begins = torch.randint(FRAMES - 1, (count,), generator=random)
    frames[rows, begins] += 1.5 * sound[heard]
    frames[rows, begins + 1] += 1.5 * sound[heard].flip(1)
    same = torch.where(seen == heard, YES, NO)
    first = torch.where(question == SEE, seen, torch.where(question == HEAR, heard, same))
    words = torch.stack([torch.full_like(question, BEGIN), question, named, torch.full_like(question, BEGIN)], 1)
    return {"patches": patches, "frames": frames, "words": words, "answer": torch.stack([first, same, named], 1)}
