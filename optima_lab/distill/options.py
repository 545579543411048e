"""What a user asks of `Optima`, checked before anything runs."""

from collections.abc import Mapping

from torch import nn

from optima_lab.bandits.arms import LISTED_MODULES
from optima_lab.bandits.policies import Policy, make_policy
from optima_lab.bandits.policies.linear import LinearThompson
from optima_lab.distill.capture import Layers
from optima_lab.distill.pairs import ATTENTION, Mask
from optima_lab.distill.rewards import VARIANTS
from optima_lab.errors import ConfigError, nearest

Globs = Mapping[str, str | Layers]
FEW_MODULES = 4  # up to here every arm has a belief of its own


def as_layers(glob: str | Layers) -> Layers:
    """A glob is that of the hidden states."""
    return glob if isinstance(glob, Layers) else Layers(glob)


def policy_for(choice: str | Policy, modules: int) -> Policy:
    """The policy that is meant, which must be able to count the arms."""
    name = choice or ("optima" if modules <= FEW_MODULES else LinearThompson.name)
    if name == "oracle":
        raise ConfigError("policy must be one that learns; 'oracle' knows the rewards of a simulation")
    policy = make_policy(name) if isinstance(name, str) else name
    if modules > LISTED_MODULES and not isinstance(policy, LinearThompson):
        raise ConfigError(f"policy must be 'linear_ts' for more than {LISTED_MODULES} modules, got {policy.name!r}")
    return policy


def check_names(
    modules: Globs, theirs: Globs, masks: Mapping[str, Mask], attention: str, variant: str, round_steps: int
) -> None:
    """Raise ConfigError for names that are not known, and for modules that no attribute can be called."""
    names = tuple(modules)
    for name in names:
        if not name.isidentifier() or hasattr(nn.Module, name) or hasattr(nn.Module(), name):
            raise ConfigError(f"modules must have plain names, which PyTorch's modules do not use, got {name!r}")
    if not names:
        raise ConfigError("modules must name at least one module: {name: glob}")
    for what, mapping in (("teacher_modules", theirs), ("masks", masks)):
        for name in mapping:
            if name not in names:
                raise ConfigError(f"{what}: there is no module {name!r}{nearest(name, names)}")
    for what, value, valid in (("attention", attention, ATTENTION), ("reward", variant, tuple(VARIANTS))):
        if value not in valid:
            raise ConfigError(
                f"{what} must be one of {', '.join(map(repr, valid))}, got {value!r}{nearest(value, valid)}"
            )
    if round_steps < 1:
        raise ConfigError(f"round_steps must be at least 1, got {round_steps}")
