"""What the fields of a descriptor mean, read off the code that says it, for its JSON Schema."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent

__all__ = ["meanings"]


def meanings(kind: type) -> dict[str, str]:
    """The docstrings of a class's own fields, by name; none where its source is not there.

    They are read when a schema is asked for: pydantic's `use_attribute_docstrings` reads them at each start.
    """
    try:
        (node,) = ast.parse(dedent(inspect.getsource(kind))).body
    except OSError:
        return {}
    found: dict[str, str] = {}
    for field, said in pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
        match field, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found
