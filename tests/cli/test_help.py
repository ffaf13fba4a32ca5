"""What `--help` shows is what the commands say of themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import click
import pytest
import typer

from fedrec.cli.app import app

BRACKETED = re.compile(r"\[[^\[\]\s]+\]")
"""A word such as [privacy], which markup takes for a style unless it is escaped."""


def tree(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below one, by the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from tree(below, *path, name)


COMMANDS = dict(tree(typer.main.get_command(app)))


def said(command: click.Command) -> Counter[str]:
    """The bracketed words of a command's own help, of its parameters', and of the first lines of the commands below."""
    below = [(one.help or "").partition("\n")[0] for one in getattr(command, "commands", {}).values()]
    parameters = [getattr(one, "help", None) for one in command.params]
    texts = (command.help, command.epilog, *parameters, *below)
    return Counter(BRACKETED.findall(" ".join(text or "" for text in texts)))


def test_there_are_bracketed_words_to_lose():
    assert said(COMMANDS["tune",]) == {"[tune.space]": 1, "[privacy]": 2}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_help_text_loses_a_bracketed_word(fedrec, path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = fedrec(*path, "--help")
    assert shown.exit_code == 0
    found = Counter(BRACKETED.findall(shown.stdout))
    assert not said(COMMANDS[path]) - found
