"""Strategies as text: what they mean, what they are called, and what is refused."""

import pytest
from cells import cell

from optima_lab.bandits.arms import KEYS, parse_arm
from optima_lab.bandits.policies import EmaThompson, make_policy
from optima_lab.config.parameters import override
from optima_lab.display import STRATEGIES, YOU, key_of, name_of
from optima_lab.distill.strategies import (
    Adaptive,
    Fixed,
    Given,
    default_strategies,
    parse_strategies,
    parse_strategy,
)
from optima_lab.errors import ConfigError
from optima_lab.presets import preset

CONFIG = preset("vqa", "smoke", decay=0.9, initial_plays=3)


def test_all_is_the_population_of_the_main_figures():
    found = parse_strategies("all", CONFIG)
    texts = ["none", *KEYS, "random", "optima", "optima_calibrated"]
    assert [strategy.text for strategy in found] == texts
    assert len({strategy.id for strategy in found}) == 11
    assert parse_strategies(", ".join(default_strategies()), CONFIG) == found
    assert parse_strategies(" all ", CONFIG) == found


def test_fixed_arms():
    strategy = parse_strategy("Multi+Img", CONFIG)
    assert (strategy.text, strategy.arm, strategy.policy, strategy.id) == ("img+multi", "Img+Multi", "", "img+multi")
    assert strategy.configure(CONFIG) == CONFIG
    assert parse_strategy("img", CONFIG).arm == "Img"


def test_no_distillation_and_kl_only():
    none, kl = parse_strategy("none", CONFIG), parse_strategy("kl", CONFIG)
    assert (none.text, none.id, none.arm, none.policy) == ("none", "none", "", "")
    assert (kl.text, kl.id, kl.arm, kl.policy) == ("kl", "kl", "", "")
    assert [s.configure(override(CONFIG, {"alpha_kl": 0.3})).distillation.alpha_kl for s in (none, kl)] == [0.0, 1.0]


def test_dide_matches_predictions_and_cross_modal_attention_alone():
    dide = parse_strategy("dide", CONFIG)
    own = dide.configure(CONFIG)
    assert (dide.text, dide.id, dide.arm, own.distillation.decoder_attention) == ("dide", "dide", "Multi", "cross")
    assert (own.distillation.alpha_kl, own.distillation.alpha_hidden, own.distillation.alpha_attention) == (
        1.0,
        0.0,
        CONFIG.distillation.alpha_attention,
    )


def test_students_of_one_population_may_differ_in_some_fields():
    lwd = parse_strategy("img+txt+multi: attention=weights", CONFIG)
    assert (lwd.text, lwd.arm) == ("img+txt+multi:attention=weights", "Img+Txt+Multi")
    assert lwd.configure(CONFIG) == override(CONFIG, {"attention": "weights"})
    optima = parse_strategy("optima:round_steps=8:decay=0.5", CONFIG)
    assert optima.text == "optima:decay=0.5:round_steps=8"
    assert optima.configure(CONFIG) == override(CONFIG, {"round_steps": 8})
    for text, problem in {
        "optima:round_steps=5": "steps must be a multiple of round_steps=5",
        "img:attention=soft": "attention must be one of scores, weights",
        "img:decay=0.5": "a fixed arm has no parameter 'decay'",
        "optima:lr=0.1": "has no parameter 'lr'",
        "dide:attention=weights": "takes no parameters",
    }.items():
        with pytest.raises(ConfigError, match=problem):
            parse_strategy(text, CONFIG)


def test_policies_take_what_the_configuration_says_and_the_text_says_otherwise():
    plain = parse_strategy("optima", CONFIG)
    assert plain.parameters == {"decay": 0.9, "initial_plays": 3, "scale": 1.0}
    assert (plain.text, plain.reward) == ("optima", "all")
    other = parse_strategy("optima:decay=0.5: reward = kl", CONFIG)
    assert other.parameters == {"decay": 0.5, "initial_plays": 3, "scale": 1.0}
    assert (other.text, other.reward) == ("optima:decay=0.5:reward=kl", "kl")
    assert parse_strategy("random", CONFIG).parameters == {}
    for strategy in (plain, other):
        make_policy(strategy.policy, **strategy.parameters)


def test_every_key_with_a_look_is_a_strategy_and_its_name_leads_back():
    for key in [key for key in STRATEGIES if key != YOU]:
        assert parse_strategy(key, CONFIG).text == key == key_of(name_of(key))
    for text in ("optima:decay=0.5:reward=kl", "img+txt:losses=a+b", "Greedy:size=(1, 2):step=0.2"):
        assert key_of(name_of(text)) == text
    assert name_of("optima:decay=0.5:reward=kl [steps=9]") == "OPTIMA (decay=0.5, reward=kl) [steps=9]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("img+txt", "TXT + Img"),
        ("img+txt", "img+txt+img"),
        ("optima", "OPTIMA"),
        ("optima", "optima:decay=0.9"),  # the configuration's
        ("optima", "optima:scale=1"),  # the policy's own default
        ("optima", "optima:reward=all"),
        ("optima", "optima:round_steps=2"),  # the configuration's
        ("optima:decay=0.5:scale=2", "optima:scale=2.0:decay=0.50"),
        ("none", " none "),
    ],
)
def test_the_same_thing_has_the_same_id(one: str, other: str):
    assert parse_strategy(one, CONFIG).id == parse_strategy(other, CONFIG).id
    with pytest.raises(ConfigError, match=r"strategies must differ, got .* twice"):
        parse_strategies(f"{one}, {other}", CONFIG)


def test_different_things_have_different_ids():
    texts = (
        "none,kl,img,txt,optima,optima:decay=0.5,optima:reward=kl,optima:reward=layers,optima:scale=0.1,"
        "optima:initial_plays=0,optima_calibrated,random,epsilon_greedy,dide,img:attention=weights,optima:round_steps=4,"
        "multi:decoder_attention=cross,optima_mean"
    )
    found = parse_strategies(texts, CONFIG)
    assert len({strategy.id for strategy in found}) == len(found) == 18
    assert parse_strategy("optima", CONFIG).id != parse_strategy("optima", preset("vqa", "smoke", decay=0.8)).id


def test_ids_are_harmless_folder_names():
    for strategy in parse_strategies("all", CONFIG):
        assert all(letter.isalnum() or letter in "+-_" for letter in strategy.id)
        assert strategy.id == strategy.id.lower()


def test_an_id_does_not_change_between_processes():
    """Written down once: a later version that changes it would train everything anew."""
    assert parse_strategy("optima", preset("vqa", "laptop")).id == "optima-b663be"
    assert parse_strategy("img+txt+multi", CONFIG).id == "img+txt+multi"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optma", r"unknown strategy 'optma'; did you mean 'optima'\?"),
        ("nothing at all", "unknown strategy 'nothing at all'; valid: none, kl, dide, img"),
        ("img+tx", r"arm must be one of .*; did you mean"),
        ("img:decay=0.9", "a fixed arm has no parameter 'decay'; valid: round_steps"),
        ("none:reward=kl", "strategy 'none' takes no parameters, got reward"),
        ("optima:decai=0.9", r"optima has no parameter 'decai'; did you mean 'decay'\?"),
        ("optima:decay", "must be name=value, got 'decay'"),
        ("optima:", "must be name=value, got ''"),
        ("optima:decay=fast", "optima's decay must be a number, got 'fast'"),
        ("optima:initial_plays=2.5", "optima's initial_plays must be a whole number, got '2.5'"),
        ("optima:decay=1.5", r"decay must be in \(0, 1\), got 1.5"),
        ("optima:decay=nan", "decay must be in"),
        ("optima:decay=0.9:decay=0.8", "must be given once each"),
        ("optima:reward=klx", r"reward must be one of all, kl, layers, train, got 'klx'; did you mean 'kl'\?"),
        ("oracle", "unknown strategy 'oracle'"),  # outside a simulated world nobody knows the true means
        ("fixed:arm=7", "arm must be below the number of arms, 7, got 7"),
        ("img,,txt", "strategies must be names between commas"),
        ("", "strategies must be names between commas"),
        ("img,img", "strategies must differ, got img twice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_strategies(text, CONFIG)
    assert "\n" not in str(caught.value)


def test_arms_written_in_any_order_are_the_arms():
    for arm in KEYS:
        assert parse_arm(parse_strategy("+".join(reversed(arm.split("+"))), CONFIG).arm) == parse_arm(arm)


def test_a_list_means_what_text_with_commas_means():
    assert parse_strategies(["optima", "gaussian_dts"], CONFIG) == parse_strategies("optima, gaussian_dts", CONFIG)


def test_objects_mean_what_their_text_means():
    for text, spec in {
        "img+txt": Fixed("img+txt"),
        "none": Fixed("", {"alpha_kl": 0.0}),
        "multi:attention=weights": Fixed("multi", {"attention": "weights"}),
        "optima:decay=0.5:reward=kl": Adaptive(EmaThompson(decay=0.5, initial_plays=3), "kl"),
    }.items():
        assert parse_strategy(spec, CONFIG) == parse_strategy(text, CONFIG)
    assert parse_strategies(Fixed("img"), CONFIG) == parse_strategies("img", CONFIG)
    assert [s.id for s in parse_strategies(["img", Fixed("txt")], CONFIG)] == ["img", "txt"]


def test_the_text_of_a_strategy_gives_it_again():
    for strategy in parse_strategies("all", CONFIG):
        assert parse_strategy(strategy.text, CONFIG) == strategy
    for text in (
        "optima:decay=0.5:scale=2",
        "img:attention=weights:round_steps=4",
        "dide",
        "optima:reward=kl",
        "fixed:arm=2",
    ):
        strategy = parse_strategy(text, CONFIG)
        assert parse_strategy(strategy.text, CONFIG) == strategy


GREEDY = """
from dataclasses import dataclass
import numpy as np
from optima_lab.bandits.policies import Policy
from optima_lab.bandits.policies.base import best, count_play, counters, flat_index
@dataclass(frozen=True)
class Greedy(Policy):
    step: float = 0.1
    def init(self, arms, replications, generator): return counters(arms, replications)
    def select(self, state, generator): return best(state["plays"], generator)
    def learn(self, state, arm, reward): count_play(state, flat_index(state, arm))
def drop(before, after): return before.kl - after.kl
def cosine(seen): return 0.0
"""


def test_a_policy_of_the_users_own_is_a_strategy_whose_body_is_in_its_id():
    greedy = cell(GREEDY)["Greedy"]
    plain, slow = parse_strategies([greedy(), Adaptive(greedy(step=0.02))], CONFIG)
    assert (plain.text, plain.policy, plain.parameters) == ("Greedy", "Greedy", {"step": 0.1})
    assert slow.text == "Greedy:step=0.02" and plain.id.startswith("greedy-") and plain.id != slow.id
    assert plain.make_policy() == greedy() and greedy.name == "Greedy"
    words = cell(GREEDY.replace("class Greedy(Policy):", 'class Greedy(Policy):\n    """Words."""'))["Greedy"]
    body = cell(GREEDY.replace("best(state", "best(-state"))["Greedy"]
    assert parse_strategy(words(), CONFIG).id == plain.id
    assert parse_strategy(body(), CONFIG).id != plain.id


def test_a_reward_and_losses_of_the_users_own_are_in_names_and_ids():
    cells = cell(GREEDY)
    asked = Given(["optima", "img", "none", "optima:reward=kl"], cells["drop"], [cells["cosine"]])
    optima, img, none, kl = parse_strategies(asked, CONFIG)
    assert (optima.text, optima.reward) == ("optima:reward=drop:losses=cosine", "drop")
    assert img.text == "img:losses=cosine" and img.id.startswith("img-")
    assert none == parse_strategy("none", CONFIG), "Table 1's baselines stay as they are"
    assert (kl.text, kl.reward) == ("optima:reward=kl:losses=cosine", "kl")
    other = cell(GREEDY.replace("before.kl - after.kl", "before.hidden - after.hidden"))["drop"]
    assert (
        parse_strategy(Adaptive(EmaThompson(), other), CONFIG).id
        != parse_strategy(Adaptive(EmaThompson(), cells["drop"]), CONFIG).id
    )
    assert parse_strategies(Given("optima,img"), CONFIG) == parse_strategies("optima,img", CONFIG)


BROKEN = cell(GREEDY + "class Broken(Greedy):\n    def select(self, state, generator): return state['nothing']")[
    "Broken"
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (BROKEN(), r"Broken.select must work in a first try, got KeyError: 'nothing' \(line 15, "),
        (Adaptive(EmaThompson(), lambda before, after: None), "a reward must be a finite number"),
        (Fixed("img", losses=[EmaThompson]), "losses must be functions of what is matched"),
        (Fixed("img", losses=[print, print]), "losses must have names of their own, got print, print"),
        (Adaptive(make_policy("oracle")), "policy must be one of"),
        (Adaptive(EmaThompson(), "klx"), "reward must be one of all, kl, layers, train, got 'klx'"),
        (Fixed("img", {"lr": 0.1}), "changes must be of round_steps, .*, got 'lr'"),
        (Fixed("imgg"), "arm must be one of"),
        ([], "strategies must be names between commas"),
    ],
)
def test_objects_that_are_no_strategies_are_refused_in_one_line(given, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_strategies(given, CONFIG)
    assert "\n" not in str(caught.value)
