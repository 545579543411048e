"""Play the policies that the exercises' page knows and keep what is said of them: `python tools/record_exercises.py`.

Rewrites `optima_lab/lessons/recorded.json`; the same code leaves the same file.
"""

import json
from pathlib import Path

from optima_lab.lessons import quiz
from optima_lab.lessons.exercises import EXERCISES, check

POLICIES = {
    "10.3": "random|epsilon_greedy:epsilon=0.1,step=0.0|epsilon_greedy:epsilon=0.3,step=0.0|softmax|"
    "beta_dts:decay=0.99|discounted_ucb:decay=0.99,bound=0.5|beta_ts",
    "11.3": "random|beta_ts|beta_dts:decay=0.9|beta_dts:decay=0.98|beta_dts:decay=0.99|beta_dts:decay=0.995|"
    "beta_dts:decay=0.999|beta_swts:window=150|glr_klucb:exploration=0.05|discounted_ucb:decay=0.99,bound=0.5",
    "12.3": "random|optima|optima_calibrated|optima_mean|gaussian_dts|gaussian_dts:decay=0.995",
    "13.2": "random|optima|optima_calibrated|gaussian_dts:decay=0.98|gaussian_dts:decay=0.995|kalman_ts",
    "14.3": "random|optima_calibrated|kalman_ts|shared_ts:sharing=0.5|shared_ts:sharing=0.9|linear_ts",
    "14.5": "random|optima|optima:initial_plays=1|kalman_ts|linear_ts",
}


def main() -> None:
    """Play them all, a line each, and write the file."""
    found = {}
    for number in (number for number, one in EXERCISES.items() if one.judge.kind == "policy"):
        found[number] = {}
        for text in POLICIES[number].split("|"):
            verdict = check(number, text)
            found[number][text] = {"state": verdict.state, "text": quiz.plain(verdict)}
            print(number, text, verdict.state, flush=True)
    path = Path(quiz.__file__).with_name("recorded.json")
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
