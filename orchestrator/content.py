"""Finds and reads the files that people edit: descriptors and prompts."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Template

from orchestrator.errors import ConfigError, nearest

__all__ = [
    "Prompt",
    "builtin",
    "builtin_agents",
    "load_prompt",
    "own_agents",
    "pool_files",
    "read_prompt",
    "read_toml",
    "shown",
    "toml_string",
    "toml_tables",
]

_VERSION = re.compile(r"<!--\s*version:\s*(\S+)\s*-->[ \t]*(?:\r?\n|$)")
"""The first line of a prompt; it is for the trace, not for the model."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as its file has it."""

    name: str
    version: str | None
    """What its first line says; None where it says nothing."""
    digest: str
    """SHA-256 of the whole file, in hex."""
    text: str
    """What is sent, with `$placeholders`."""

    def fill_known(self, **values: str) -> str:
        """The text with these placeholders filled and every other `$` left as it is: formulas and prices hold some."""
        return Template(self.text).safe_substitute(values)

    def fill(self, **values: str) -> str:
        """The text with its placeholders filled; raises `ConfigError` on one that nobody supplies."""
        try:
            return Template(self.text).substitute(values)
        except KeyError as error:
            problem, hint = f"nothing fills `${error.args[0]}`", nearest(str(error.args[0]), values)
        except ValueError:
            problem, hint = "a `$` begins no placeholder", None
        known = ", ".join(f"${name}" for name in sorted(values))
        expected = (f"placeholders among {known}, " if known else "no placeholders, ") + "and `$$` for a dollar sign"
        raise ConfigError(problem, field=f"prompt {self.name}", expected=expected, suggestion=hint)


def builtin(folder: str) -> Path:
    """A folder of content that ships with the package: in the wheel as data, in a checkout at the top."""
    package = Path(__file__).parent
    shipped = package / "_content" / folder
    return shipped if shipped.is_dir() else package.parent / folder


def builtin_agents() -> Path:
    """The descriptors that ship with the package."""
    return builtin("agents")


def own_agents() -> Path:
    """The user's own descriptors: `agents` under `ORCHESTRATOR_HOME`, or in the platform's folder for settings."""
    if home := os.environ.get("ORCHESTRATOR_HOME"):
        return Path(home).expanduser() / "agents"
    from platformdirs import user_config_path

    return user_config_path("orchestrator") / "agents"


def shown(path: Path) -> str:
    """A path as people read it: relative to where they stand, where that is possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a TOML file; raises `ConfigError` naming the file where it cannot be read."""
    return toml_tables(_read_text(path), shown(path))


def toml_tables(text: str, file: str) -> dict[str, object]:
    """The tables of a text; raises `ConfigError` naming the file that it stands for where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", file=file, expected="TOML in UTF-8") from error


def pool_files(root: Path, pool: str, kind: str = "toml") -> list[Path]:
    """The files of a folder that concern a pool: its own, and those at the folder's top."""
    return sorted(root.glob(f"*.{kind}")) + sorted((root / pool).glob(f"*.{kind}"))


def toml_string(text: str) -> str:
    """A text as a basic string of TOML, in quotes."""
    whole = os.fsencode(text).decode("utf-8", "replace")  # what came from a command line may hold stray bytes
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def load_prompt(name: str, folder: Path | None = None) -> Prompt:
    """The prompt `NAME.md` from `prompts/` in or beside `folder`, else from the package; raises `ConfigError`."""
    if folder is None:
        return _shipped_prompt(name)
    return _prompt(name, [parent / "prompts" for parent in (folder, folder.parent, folder.parent.parent)])


def read_prompt(name: str, folder: Path) -> str:
    """The text of a prompt, as `load_prompt` finds it."""
    return load_prompt(name, folder).text


@cache
def _shipped_prompt(name: str) -> Prompt:
    return _prompt(name, [])


def _prompt(name: str, own: list[Path]) -> Prompt:
    places = [*own, builtin("prompts")]
    path = next((path for place in places if (path := place / f"{name}.md").is_file()), None)
    if path is not None:
        text = _read_text(path)
        found = _VERSION.match(text)
        sent = text[found.end() :] if found else text
        return Prompt(name, found[1] if found else None, sha256(path.read_bytes()).hexdigest(), sent.strip("\r\n"))
    mine = sorted({path.stem for place in own for path in place.glob("*.md")})
    raise ConfigError(
        f"there is no prompt `{name}`",
        field="prompt",
        expected="one of " + ", ".join(mine) if mine else f"a file prompts/{name}.md beside the agents",
        suggestion=nearest(name, {*mine, *(path.stem for path in builtin("prompts").glob("*.md"))}),
    )


def _read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; raises `ConfigError` that names file and line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", file=shown(path)) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"is not UTF-8: byte 0x{content[error.start]:02x} in line {line}",
            file=shown(path),
            expected="text saved as UTF-8",
        ) from error
