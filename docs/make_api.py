"""Writes the reference of everything that `orchestrator` exports, from its docstrings, as one page: `make docs`."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import orchestrator

PAGE = Path(__file__).parent / "api" / "README.md"
INTRODUCTION = f"""# Reference

What `from orchestrator import …` gives, in version {orchestrator.__version__}; the docstrings are the source.
Written by `docs/make_api.py`.
"""


class Verbatim:
    """Something that a signature shows as it is written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def described(value: object, name: str) -> str:
    """A docstring, unindented; what has none ends the making."""
    text = inspect.getdoc(value)
    if not text:
        raise SystemExit(f"{name} has no docstring")
    return text


def shown(parameter: inspect.Parameter, written: Mapping[str, str]) -> inspect.Parameter:
    """A parameter with annotations as they were written, and functions by their names."""
    default: object = parameter.default
    annotation: object = parameter.annotation
    note = written.get(parameter.name, annotation)
    if isinstance(note, str):
        parameter = parameter.replace(annotation=Verbatim(note))
    if callable(default) and default is not inspect.Parameter.empty:
        parameter = parameter.replace(default=Verbatim(getattr(default, "__name__", "…")))
    return parameter


def signature(name: str, function: Callable[..., object]) -> str:
    """How something is called, a parameter a line where it does not fit one."""
    try:
        found = inspect.signature(function)
    except ValueError:  # made as the built-in class is that it extends
        return f"class {name}({getattr(function, '__base__', object).__name__})"
    returns = found.return_annotation
    written = {key: note for key, note, _ in declared(function)} if inspect.isclass(function) else {}
    kept = [shown(each, written) for key, each in found.parameters.items() if key not in {"self", "cls"}]
    if inspect.isclass(function):
        returns = inspect.Signature.empty
    made = found.replace(parameters=kept, return_annotation=Verbatim(returns) if isinstance(returns, str) else returns)
    line = f"{name}{made}"
    if len(line) <= 100:
        return line
    head, _, arrow = str(made).rpartition(")")
    star = next((n for n, each in enumerate(kept) if each.kind is inspect.Parameter.KEYWORD_ONLY), None)
    parts = [str(each) for each in kept]
    parts[star:star] = ["*"] if star is not None and "*," in head else []
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"


def declared(owner: type) -> Iterator[tuple[str, str, str]]:
    """Attributes with annotations: name, annotation, and what is told of them beneath, where anything is."""
    for each in reversed(of_ours(owner)):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        body = node.body if isinstance(node, ast.ClassDef) else []
        for one, after in pairwise([*body, ast.Pass()]):
            if isinstance(one, ast.AnnAssign):
                said = (
                    after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
                )
                told = " ".join(said.split()) if isinstance(said, str) else ""
                yield ast.unparse(one.target), ast.unparse(bare(one.annotation)), told


def bare(note: ast.expr) -> ast.expr:
    """An annotation without what only pydantic reads."""
    if isinstance(note, ast.Subscript) and ast.unparse(note.value) == "Annotated" and isinstance(note.slice, ast.Tuple):
        return note.slice.elts[0]
    return note


def of_ours(owner: type) -> list[type]:
    """A class and those of its parents that are ours."""
    return [each for each in owner.__mro__ if each.__module__.startswith("orchestrator")]


def methods(owner: type) -> Iterator[tuple[str, str, str]]:
    """Public methods and properties, also those of parents of ours: name, how it is used, what it does."""
    members = {name: value for each in reversed(of_ours(owner)) for name, value in vars(each).items() if name[0] != "_"}
    for name, value in members.items():
        target: object = getattr(value, "__func__", value)
        if isinstance(target, property):
            gives = inspect.signature(target.fget).return_annotation if target.fget else ""
            yield name, f"{name}: {gives}", described(target, f"{owner.__name__}.{name}")
        elif inspect.isfunction(target):
            keyword = "async " if inspect.iscoroutinefunction(target) else ""
            yield name, keyword + signature(name, target), described(target, f"{owner.__name__}.{name}")


def section(name: str) -> str:
    """One public name."""
    value: object = getattr(orchestrator, name)
    if not callable(value):
        raise SystemExit(f"{name} is neither a class nor a function")
    parts = [f"## {name}", f"```python\n{signature(name, value)}\n```", described(value, name)]
    if inspect.isclass(value):
        told = [f"- `{key}: {note}`: {text}" for key, note, text in declared(value) if text]
        parts += ["\n".join(told)] if told else []
        for method, use, does in methods(value):
            parts += [f"### {name}.{method}", f"```python\n{use}\n```", does]
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """The whole reference, names in the order of the alphabet."""
    names = sorted((name for name in orchestrator.__all__ if name != "__version__"), key=str.lower)
    index = "\n".join(f"- [{name}](#{name.lower()})" for name in names)
    return "\n".join([INTRODUCTION, index + "\n", *map(section, names)])


def main() -> None:
    """Write it where the first argument says, or beside this file."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
