"""EleutherAI's evaluation harness on our checkpoints, as its model type `flan_t5x`.

    python -m flan_t5x.evaluation.harness --model flan_t5x \\
        --model_args checkpoint=runs/mine --tasks boolq --output_path boolq

is the harness's own command (`lm_eval`) with the type made known; `harness_model.FlanT5X` lists
the arguments. `register` does the same for a program that calls `lm_eval.simple_evaluate`. The
extra `lm-eval` installs the harness.
"""

from __future__ import annotations

import sys

from flan_t5x.errors import EXIT_BAD_INPUT, UserError

MODEL_TYPE = "flan_t5x"


def register() -> None:
    """Makes the model type known to the harness in this process; again does nothing.

    Raises:
        UserError: the harness is not installed.
    """
    try:
        from lm_eval.api.registry import model_registry, register_model
    except ImportError as error:
        raise UserError(
            f"the evaluation harness is not installed ({error}): pip install 'flan-t5x[lm-eval]'"
        ) from error
    from flan_t5x.evaluation.harness_model import FlanT5X

    if MODEL_TYPE not in model_registry:
        register_model(MODEL_TYPE)(FlanT5X)


def main() -> int:
    """Runs the harness's command on this process's arguments; returns the exit code."""
    try:
        register()
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
