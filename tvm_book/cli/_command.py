"""What all commands share: errors of one line, exit codes, the way they end."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ._output import first_line, silence

__all__ = ["Command", "Failure", "Group", "interrupted"]

NOBODY_READS = 128 + 13  # SIGPIPE; Windows has no such signal
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
# What the library raises for bad input; anything else is a fault of ours.
EXPECTED = (ValueError, TypeError, OSError, NotImplementedError, ImportError, RuntimeError)
_RECEIVED = "tvm_book.received"  # under which a context keeps the signals that came
_DEBUG = "tvm_book.debug"


class Failure(click.ClickException):
    """An error for the user: one line, and the exit code of bad input."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"error: {self.message}", err=True, file=file)


class _Shown:
    """Help ends with blocks of lines that are not wrapped."""

    def __init__(self, *args: Any, blocks: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._blocks = blocks

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the blocks, each under its heading."""
        for heading, lines in self._blocks.items():
            with formatter.section(heading):
                for line in lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(_Shown, click.Group):
    """The program; ``blocks`` of lines end its help."""


class Command(_Shown, click.Command):
    """A command whose errors are one line on stderr; it has the option ``--debug``.

    Parameters
    ----------
    examples : sequence of str
        Command lines that end its help.
    """

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, blocks={"Examples": examples}, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=lambda ctx, _, value: ctx.meta.__setitem__(_DEBUG, value),
                help="Show the traceback of an error.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # no "µ" in an ASCII terminal
        received: list[int] = []
        ctx.meta[_RECEIVED] = received
        try:
            with _signals(received), _short_warnings():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            if not received:
                raise
        except BrokenPipeError:
            silence()
            raise click.exceptions.Exit(NOBODY_READS) from None
        except BaseException as error:
            # Libraries may have made another error of the interrupt.
            if not received:
                if not isinstance(error, Exception):
                    raise
                if ctx.meta.get(_DEBUG):
                    traceback.print_exc()
                raise Failure(_message(error)) from error
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(128 + received[0])


def interrupted() -> bool:
    """Whether the running command was asked to end, even if a library swallowed the exception."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get(_RECEIVED))


@contextlib.contextmanager
def _signals(received: list[int]) -> Iterator[None]:
    """Turn the first signal into `KeyboardInterrupt`; later ones do not disturb tidying up."""

    def handle(number: int, _frame: Any) -> None:
        received.append(number)
        if len(received) == 1:
            raise KeyboardInterrupt

    previous = {}
    with contextlib.suppress(ValueError):  # not in the main thread: there are no signals
        for name in SIGNALS:
            number = getattr(signal, name, None)
            # What is ignored (nohup) stays so.
            if number and signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():  # the end is not to be disturbed either
            signal.signal(number, signal.SIG_IGN if received else handler)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print a warning as one line, without the place in our code that it came from."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        click.echo(f"warning: {first_line(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _message(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    text = first_line(str(error)) or type(error).__name__
    text = text.replace("overwrite=True", "--force")
    if isinstance(error, EXPECTED):
        return text
    return f"unexpected {type(error).__name__}: {text}; --debug shows where"
