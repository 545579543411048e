"""What a synthetic world says about its scenes: how scenes are drawn, and the sentences of every task about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from optima_lab.data.synthetic.grammar import Form
from optima_lab.data.synthetic.render import PAPER
from optima_lab.data.synthetic.scene import Scene

Pair = tuple[Scene, Scene]


@dataclass(frozen=True)
class Grammar:
    """Scene drawers and sentence forms of the four tasks; a caption is one sentence that is true of its scene."""

    vqa: Sequence[Form]
    vqa_scene: Callable[[Random], tuple[Scene]]
    snli_ve: Sequence[Form]
    snli_ve_scene: Callable[[Random], tuple[Scene]]
    nlvr2: Sequence[Form]
    nlvr2_pair: Callable[[Random], Pair]
    coco_scene: Callable[[Random], Scene]
    caption: Callable[[Random, Scene], str]
    ground: int = PAPER  # the pictures' background
