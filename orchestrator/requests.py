"""What a model is asked when it is an expert: its prompt, the question or query, and the artifacts it consumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from pydantic import BaseModel

from orchestrator.analyses import analysis_schema
from orchestrator.content import load_prompt
from orchestrator.messages import Message, Question, as_text
from orchestrator.pool import Agent, Model
from orchestrator.providers import Request
from orchestrator.tools import schema_of

__all__ = ["expert_request", "in_words", "typed_request"]


def expert_request(
    agent: Agent,
    model: Model,
    question: Question,
    query: str,
    inputs: Mapping[str, object],
    *,
    kind: type[BaseModel] | None = None,
) -> Request:
    """The request for one consultation; `inputs` are the artifacts that are there, by name.

    A reply of a `kind` is asked for by its schema, and in words where the model keeps to none.

    A query stands for itself, so whoever takes no images can be asked it; to others the question's images come along.
    """
    images = question.images if "image" in model.modalities else ()
    asked = (Message("user", query, images=images),) if query else question.messages
    given = {name: inputs[name] for name in (*agent.consumes, *agent.optional) if name != "question" and name in inputs}
    if given:
        blocks = "\n\n".join(f"{name}:\n{as_text(value)}" for name, value in sorted(given.items()))
        last = asked[-1]
        asked = (*asked[:-1], replace(last, content=f"{last.content}\n\n{blocks}"))
    choices = () if query else question.choices
    told = [agent.prompt] if agent.prompt else []
    analysed = agent.reply == "analysis" and kind is None  # a typed reply has no room for what led to it
    if analysed:
        told.append(load_prompt("analysis").fill(answer=_answer_wanted(choices)))
    system = (Message("system", "\n\n".join(told)),) if told else ()
    request = Request(
        (*system, *asked),
        max_output=model.max_output,
        temperature=model.temperature,
        case=None if query else question.case,
        schema=analysis_schema(choices) if analysed and model.structured else None,
    )
    return request if kind is None else typed_request(request, model, kind)


def typed_request(request: Request, model: Model, kind: type[BaseModel]) -> Request:
    """The request for a reply of a kind: by its schema, and in words where the model keeps to none."""
    if model.structured:
        return replace(request, schema=schema_of(kind))
    last = request.messages[-1]
    return replace(
        request, messages=(*request.messages[:-1], replace(last, content=f"{last.content}\n\n{in_words(kind)}"))
    )


def in_words(kind: type[BaseModel]) -> str:
    """How a model is told to write an answer of a kind."""
    return load_prompt("typed").fill(schema=json.dumps(schema_of(kind), ensure_ascii=False))


def _answer_wanted(choices: tuple[str, ...]) -> str:
    """What stands behind `answer`, in the words of the prompt."""
    return "one of these, word for word: " + ", ".join(choices) if choices else "the answer alone, as text"
