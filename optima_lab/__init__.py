"""optima_lab: adaptive distillation of multimodal models, and the non-stationary bandits behind it.

Nothing heavy is imported here: `import optima_lab` costs no torch and no matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optima_lab.distill.capture import Layers
    from optima_lab.distill.optima import Optima
    from optima_lab.experiments.run import open_experiments, run
    from optima_lab.presets import preset
    from optima_lab.report.compare import compare
    from optima_lab.widgets.contest import be_the_bandit
    from optima_lab.widgets.live import live
    from optima_lab.widgets.replay import replay

__version__ = "0.1.0"

_LAZY = {
    "Layers": "optima_lab.distill.capture",
    "Optima": "optima_lab.distill.optima",
    "preset": "optima_lab.presets",
    "run": "optima_lab.experiments.run",
    "open_experiments": "optima_lab.experiments.run",
    "compare": "optima_lab.report.compare",
    "be_the_bandit": "optima_lab.widgets.contest",
    "live": "optima_lab.widgets.live",
    "replay": "optima_lab.widgets.replay",
}
__all__ = [
    "Layers",
    "Optima",
    "__version__",
    "be_the_bandit",
    "compare",
    "live",
    "open_experiments",
    "preset",
    "replay",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'optima_lab' has no attribute {name!r}")
