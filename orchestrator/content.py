"""Finds and reads the files that people edit: descriptors and prompts."""

from __future__ import annotations

import tomllib
from pathlib import Path

from orchestrator.errors import ConfigError, nearest

__all__ = ["builtin_agents", "pool_files", "read_prompt", "read_toml", "shown"]


def builtin_agents() -> Path:
    """The descriptors that ship with the package: in the wheel as data, in a checkout at the top."""
    package = Path(__file__).parent
    shipped = package / "_content" / "agents"
    return shipped if shipped.is_dir() else package.parent / "agents"


def shown(path: Path) -> str:
    """A path as people read it: relative to where they stand, where that is possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a TOML file; raises `ConfigError` naming the file where it cannot be read."""
    text = _read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", file=shown(path), expected="TOML in UTF-8") from error


def pool_files(root: Path, pool: str) -> list[Path]:
    """The descriptor files of a folder that concern a pool: its own, and those at the folder's top."""
    return sorted(root.glob("*.toml")) + sorted((root / pool).glob("*.toml"))


def read_prompt(name: str, folder: Path) -> str:
    """The prompt `NAME.md` from `prompts/` in the folder of the agents or beside it."""
    places = [parent / "prompts" for parent in (folder, folder.parent, folder.parent.parent)]
    for place in places:
        if (path := place / f"{name}.md").is_file():
            return _read_text(path)
    known = sorted({path.stem for place in places for path in place.glob("*.md")})
    raise ConfigError(
        f"there is no prompt `{name}`",
        field="prompt",
        expected="one of " + ", ".join(known) if known else f"a file prompts/{name}.md beside the agents",
        suggestion=nearest(name, known),
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
