"""One line out of an error."""

from __future__ import annotations

# gin re-raises what a configured call raises, with lines of its own behind the message.
_GIN_TAILS = ("\n  In call to configurable", "\n  No values supplied by Gin", "\n  In file ")


def one_line(error: BaseException) -> str:
    """The error's message without gin's additions, line breaks folded into spaces."""
    text = str(error)
    for tail in _GIN_TAILS:
        text = text.split(tail)[0]
    return " ".join(text.split())
