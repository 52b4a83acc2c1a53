"""Ways to decide that an eval runs: router, merge, width, and what makes their decisions sure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.errors import ConfigError
from orchestrator.evals.named import located, short_name

__all__ = ["FIT", "UNFITTED", "Candidate", "Confidence", "Line", "Width", "check_names", "placed", "placed_file"]

FIT = "fit"
"""In place of a file of confidence: fit it on the train split of the recorded outcomes."""
UNFITTED = "none"
"""In place of a file of confidence: nothing but skills, also where it would be fitted."""


def _width(given: object) -> object:
    if isinstance(given, str):
        word, mark, number = given.partition(":")
        good = word == "auto" and (not mark or (number.isdecimal() and int(number) > 0))
    else:
        good = isinstance(given, int) and not isinstance(given, bool) and given > 0
    if not good:
        raise PydanticCustomError("width", "a whole number of at least 1, auto, or auto:K")
    return given


Width = Annotated[
    int | str,
    BeforeValidator(_width),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^auto(:0*[1-9][0-9]*)?$"}]}
    ),
]
"""How many analyses: a number, `auto` for as many as are worth it, `auto:K` for a vote of K that ends early."""
Confidence = Annotated[str, Field(min_length=1)]
"""`fit`, `none`, or a file that `orchestrator eval calibrate` wrote."""
Line = Annotated[float, Field(ge=0, le=1)]


class Candidate(BaseModel):
    """A way to decide that an eval runs: a router, a merge, how many analyses, and how sure it has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    router: str = "plan"
    """`plan`, `llm`, the name of a model, `cascade`, `cascade:P`, `llm+cascade`, or `package.module:attribute`."""
    merge: str | None = None
    """A merge by name or `package.module:attribute`; the router's own where left out."""
    analyses: Width = 1
    """A number, `auto`, or `auto:K` for a vote of K that ends early."""
    prefer: Literal["quality", "balanced", "cheap"] = "balanced"
    confidence: Confidence | None = None
    """What scores of its decisions are worth: a file of `orchestrator eval calibrate`, `fit` to fit it on train, or
    `none`; where left out that of the suite, else `fit` for `cascade` and `auto` over recorded outcomes."""
    abstain_below: Line | None = None
    """A decision of lower confidence becomes an escalation."""

    @property
    def name(self) -> str:
        """How reports call it; of an object in a file, without the file's folder."""
        parts = [short_name(each) for each in (self.router, self.merge) if each]
        parts += [f"x{self.analyses}"] if self.analyses != 1 else []
        parts += [self.prefer] if self.prefer != "balanced" else []
        if self.confidence is not None:
            parts.append({FIT: "fitted", UNFITTED: "unfitted"}.get(self.confidence, Path(self.confidence).name))
        parts += [f"abstain:{self.abstain_below:g}"] if self.abstain_below is not None else []
        return "+".join(parts)

    @property
    def asks_several(self) -> bool:
        """Whether it asks several experts, so that its decision is no choice of one."""
        return self.analyses != 1

    def adapts(self, models: Container[str]) -> bool:
        """Whether it goes by what a fit knows: who is worth asking after these replies."""
        return self.analyses == "auto" or self._cascades(models)

    def sequential(self, models: Container[str]) -> bool:
        """Whether it goes by the replies that came, so that it has made no prediction beforehand."""
        return not isinstance(self.analyses, int) or self._cascades(models)

    def _cascades(self, models: Container[str]) -> bool:
        """Whether a cascade decides, or serves the steps of a router inside (`llm+cascade`)."""
        last = self.router.rpartition("+")[2]
        return last.partition(":")[0] == "cascade" and self.router not in models


def placed(candidates: Sequence[Candidate], here: Path) -> tuple[Candidate, ...]:
    """The candidates, their objects and files found from a folder."""
    return tuple(
        each.model_copy(
            update={
                "router": located(each.router, here),
                "merge": each.merge and located(each.merge, here),
                "confidence": placed_file(each.confidence, here),
            }
        )
        for each in candidates
    )


def placed_file(confidence: str | None, here: Path) -> str | None:
    """Where confidence comes from, a file by its whole path."""
    return confidence if confidence in (None, FIT, UNFITTED) else str((here / confidence).resolve())


def check_names(candidates: Sequence[Candidate], file: str) -> None:
    """Refuse two systems of one name: their results could not be told apart."""
    names = [each.name for each in candidates]
    for place, name in enumerate(names):
        if name in names[:place]:
            problem = f"two systems are called `{name}`"
            raise ConfigError(problem, file=file, field=f"systems[{place}]", expected="systems that differ")
