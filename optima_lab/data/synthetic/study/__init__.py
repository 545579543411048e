"""The study world: the glyphs of the embedded world, asked what takes several steps to answer.

It is for the preset `study`: hard enough that small students that have converged stay behind their teacher.
"""

from optima_lab.data.synthetic.grammars import Grammar
from optima_lab.data.synthetic.render import GROUND
from optima_lab.data.synthetic.study.captions import caption
from optima_lab.data.synthetic.study.hypotheses import hypotheses
from optima_lab.data.synthetic.study.questions import questions
from optima_lab.data.synthetic.study.scenes import study_pair, study_scene
from optima_lab.data.synthetic.study.statements import statements

OBJECTS = {"vqa": (3, 4, 5), "snli_ve": (2, 3, 4), "nlvr2": (2, 3, 3), "coco": (2, 3, 4)}  # of a scene


def study(depth: float) -> Grammar:
    """The study world; `depth` weighs sentences that take two steps or look at all objects against simpler ones."""
    return Grammar(
        vqa=questions(depth),
        vqa_scene=lambda random: (study_scene(random, OBJECTS["vqa"]),),
        snli_ve=hypotheses(depth),
        snli_ve_scene=lambda random: (study_scene(random, OBJECTS["snli_ve"], random.choice((0, 1, 1))),),
        nlvr2=statements(depth),
        nlvr2_pair=lambda random: study_pair(random, OBJECTS["nlvr2"]),
        coco_scene=lambda random: study_scene(random, OBJECTS["coco"]),
        caption=caption,
        ground=GROUND,
    )
