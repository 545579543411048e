"""What Eq. 5 of arXiv 2310.04550 adds up for a model of one's own: its loss, its logits, and their weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from optima_lab.distill.losses import at_least_fp32
from optima_lab.errors import ConfigError, nearest


@dataclass(frozen=True)
class Terms:
    """What Eq. 5 adds up: the user's loss, the KL of the logits, and how much each term weighs.

    task: (output, batch) → loss; None: the output's own `loss`, where it has one.
    logits: where the output has them, by name or as a function of it; '': no KL.
    """

    task: Callable[[Any, Any], Tensor] | None = None
    logits: str | Callable[[Any], Tensor] = ""
    alpha: tuple[float, float, float] = (1.0, 1.0, 1e-2)
    temperature: float = 1.0

    def training_loss(self, output: Any, batch: Any) -> Tensor | None:
        """L_train of Eq. 1, or None where nobody gives one."""
        if self.task is not None:
            return self.task(output, batch)
        return output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)

    def prediction(self, output: Any) -> Tensor | None:
        """The logits, in fp32 at least. Raises ConfigError where the output has none of that name."""
        if not self.logits:
            return None
        if callable(self.logits):
            logits = self.logits(output)
        else:
            parts = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
            if parts.get(self.logits) is None:
                names = [name for name, part in parts.items() if part is not None]
                raise ConfigError(
                    f"logits must name a part of the output, got {self.logits!r}{nearest(self.logits, names)}"
                )
            logits = parts[self.logits]
        return at_least_fp32(logits)
