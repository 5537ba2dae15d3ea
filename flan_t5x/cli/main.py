"""The command ``flan-t5x``: parse, call, print.

Exit codes: 0; 2 for bad input (one line, no traceback unless ``--verbose``); the codes in
`flan_t5x.errors`; 130 after Ctrl-C. An unexpected exception is a bug and shows its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from flan_t5x.cli import environment
from flan_t5x.cli.arguments import parse
from flan_t5x.cli.huge_pages import start_again_with_huge_pages
from flan_t5x.cli.messages import one_line
from flan_t5x.errors import UserError
from flan_t5x.errors import exit_code as code_of

_INTERRUPTED = 130
_RUN_A_MODEL = ("train", "eval", "infer", "bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: the command line without the program's name; None takes it from `sys.argv`.
    """
    is_the_process = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    verbose = "--verbose" in arguments
    try:
        options = parse(arguments)
        if is_the_process and options.command in _RUN_A_MODEL:
            start_again_with_huge_pages()
        environment.prepare(verbose=verbose)
        exit_code = int(options.run(options))
        sys.stdout.flush()
        return exit_code
    except UserError as error:
        return _failed(error, verbose=verbose)
    except BrokenPipeError:
        # The reader of our output has gone (`flan-t5x tasks list | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        message = UserError(f"{error.filename}: {error.strerror}")
        message.__cause__ = error
        return _failed(message, verbose=verbose)
    except KeyboardInterrupt:
        print("flan-t5x: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception:
        # A bug. Alone, Python shows it; one of several must also leave without the others.
        if not _one_of_several():
            raise
        import traceback

        traceback.print_exc()
        return _leave(1)


def _failed(error: UserError, *, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"flan-t5x: error: {one_line(error)}", file=sys.stderr)
    return _leave(code_of(error))


def _one_of_several() -> bool:
    """Whether this process joined others; the module that knows is not imported for nothing."""
    together = sys.modules.get("flan_t5x.parallel.together")
    return together is not None and bool(together.several())


def _leave(code: int) -> int:
    return int(sys.modules["flan_t5x.parallel.together"].leave(code)) if _one_of_several() else code


if __name__ == "__main__":
    sys.exit(main())
