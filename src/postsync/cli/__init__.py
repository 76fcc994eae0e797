"""The command line: thin typer commands, each imported only when it is called, so that `--help` is quick."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

try:
    import typer
except KeyboardInterrupt:  # before `main` could look after it
    raise SystemExit(130) from None

from ..errors import PostsyncError
from ..versions import __version__
from .interruption import stopped_by_signals

COMMANDS = {  # name -> (module and attribute in this package, one line of help)
    "generate": ("generate:generate", "Put sound to a silent video."),
    "create": ("create:create", "Make a clip, picture and sound, from a sentence."),
    "look": ("look:look", "Say what a clip shows that sounds, shot by shot."),
    "caption": ("caption:caption", "Say what a clip would sound like."),
    "evaluate": ("evaluate:evaluate", "Measure generated clips against real ones."),
    "scenes": ("scenes:app", "Render, export or preview procedural scenes."),
    "data": ("data:app", "Import, audit and prepare data sets."),
    "train": ("train:train", "Train a part of a mini."),
    "weights": ("weights:app", "List and convert published networks."),
    "families": ("families:families", "List the sounds that the mini presets know."),
    "info": ("info:info", "Show systems, presets, weights and licences."),
    "doctor": ("doctor:doctor", "Check the installation."),
}
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line on `argv` (default: the process's).

    Exits with 0, 2 for what a user can fix, 130 for Ctrl-C, 143 for SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are not text come out as they are
    command = next((a for a in arguments if not a.startswith("-")), None)
    try:
        with stopped_by_signals():
            build_app(command)(args=arguments, prog_name="postsync")
    except PostsyncError as error:
        print("postsync: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(EXIT_ERROR) from None
    except MemoryError:
        print("postsync: not enough memory; close other programs, or cut the clip into parts", file=sys.stderr)
        raise SystemExit(EXIT_ERROR) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


def exit_with(errors: Sequence[object], total: int) -> None:
    """After the last of several clips: say which failed and why, and exit with 2; nothing where none did."""
    if errors:
        print(f"postsync: {len(errors)} of {total} clips failed:", file=sys.stderr)
        for error in errors:
            print("  " + " ".join(str(error).split()), file=sys.stderr)
        raise typer.Exit(EXIT_ERROR)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def build_app(command: str | None = None) -> typer.Typer:
    """The application with `command` imported; the other commands are listed by name and help only."""
    app = typer.Typer(no_args_is_help=True, add_completion=False,
                      pretty_exceptions_show_locals=False)
    app.callback(help="Puts sound to silent video.")(_root)
    for name, (place, text) in COMMANDS.items():
        if name != command:
            app.command(name, help=text)(_unloaded)
            continue
        module, attribute = place.split(":")
        found = import_module(f".{module}", __package__)
        target: typer.Typer | Callable[..., None] = getattr(found, attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=text)
        else:
            app.command(name, cls=getattr(found, "Command", None))(target)
    return app


def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True,
                                                callback=_show_version)] = False) -> None:
    """Options of the program itself."""


def _unloaded() -> None:
    """Placeholder of a command that was not named on the command line, and so cannot be called."""
    raise AssertionError("a command was called that was not named")
