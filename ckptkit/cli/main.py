"""The command ``ckptkit``: a group whose commands are imported only when one is called.

Everything that may go wrong ends here: each kind of failure as one paragraph on stderr and an
exit code of its own, never a traceback (``CKPTKIT_DEBUG=1`` asks for one).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from ckptkit.cli.failures import explain, report
from ckptkit.cli.signals import end_by_exception

# One row a command: its module, its attribute, and its line in ``ckptkit --help``, so that
# neither help nor completion imports every command.
COMMANDS: dict[str, tuple[str, str]] = {
    "inspect": ("ckptkit.cli.inspect", "Show what a checkpoint holds; reads headers alone."),
    "list": ("ckptkit.cli.list", "List every checkpoint below a folder, newest first."),
    "scan": ("ckptkit.cli.scan", "Show what unpickling a file would run; runs nothing."),
    "verify": ("ckptkit.cli.verify", "Check every byte against what was recorded for it."),
    "diff": ("ckptkit.cli.diff", "Compare two checkpoints of any kind."),
    "migrate": ("ckptkit.cli.migrate", "Turn any checkpoint into a sealed v2 folder."),
    "export": ("ckptkit.cli.export", "Write a checkpoint in a form that other programs open."),
    "recover": ("ckptkit.cli.recover", "Save what a damaged checkpoint still holds."),
    "check": ("ckptkit.cli.check", "Say whether a checkpoint would load into a model."),
    "prune": ("ckptkit.cli.prune", "Remove the checkpoints of a run that no policy keeps."),
    "plot": ("ckptkit.cli.plot", "Draw the training curves of runs."),
    "train": ("ckptkit.cli.train", "Train with a trainer of a plugin."),
    "resume": ("ckptkit.cli.resume", "Go on with a run of a trainer."),
    "sample": ("ckptkit.cli.sample", "Make samples with a checkpoint of a trainer."),
    "evaluate": ("ckptkit.cli.evaluate", "Measure a checkpoint of a trainer."),
    "plugins": ("ckptkit.cli.plugins", "Show the plugins: what they offer, what failed."),
}


class _ReaderGoneError(Exception):
    """Whoever read our output has closed it."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        from importlib import import_module

        from ckptkit.cli.options import share_path_type

        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return share_path_type(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that was meant. Raises: click.UsageError."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"no command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would turn a reader that went away into exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise _ReaderGoneError from exc

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with the exit code of its outcome."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        words = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(words, prog_name or "ckptkit", complete_var, False, **extra)
            sys.stdout.flush()
        except BaseException as exc:  # noqa: BLE001  the one place where every failure ends
            code = _fail(exc, words)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(exc: BaseException, words: Sequence[str]) -> int:
    """Say what happened and return the exit code."""
    if isinstance(exc, SystemExit):
        return exc.code if isinstance(exc.code, int) else 1
    if isinstance(exc, click.exceptions.Exit):
        return exc.exit_code
    if isinstance(exc, (BrokenPipeError, _ReaderGoneError)):
        # The reader went away (``| head``); without this Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if os.environ.get("CKPTKIT_DEBUG") and not isinstance(exc, click.ClickException):
        import traceback

        traceback.print_exception(exc)
    failure = explain(exc)
    options = words[: words.index("--")] if "--" in words else words
    with suppress(OSError, ValueError):  # a terminal that hung up takes no words
        report(failure, as_json="--json" in options)
    return failure.exit_code


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="ckptkit", prog_name="ckptkit")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Open, check, migrate and seal PyTorch checkpoints without running them.

    Every command takes --json; exit codes are listed in docs/cli.md.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    disabled = os.environ.get("CKPTKIT_DISABLE_PLUGINS", "")
    if disabled:
        from ckptkit.hooks.manager import disable

        disable(name.strip() for name in disabled.split(",") if name.strip())


def main() -> NoReturn:
    """Run the command line of this process."""
    end_by_exception()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown escaped; it must not end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        app.main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if "ckptkit.cli.call_trainer" in sys.modules:
        sys.exit(code)  # a trainer's libraries may have something left to do at exit
    # All files are closed and all threads joined. To free the nodes of 100,000 tensors one by
    # one before the process ends anyway would take another half second.
    os._exit(code)


if __name__ == "__main__":
    main()
