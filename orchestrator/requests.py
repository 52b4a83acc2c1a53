"""What a model is asked when it is an expert: its prompt, the question or query, and the artifacts it consumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.analyses import analysis_schema
from orchestrator.content import load_prompt
from orchestrator.messages import Message, Question, as_text
from orchestrator.pool import Agent, Model
from orchestrator.providers import Request

__all__ = ["expert_request"]


def expert_request(agent: Agent, model: Model, question: Question, query: str, inputs: Mapping[str, object]) -> Request:
    """The request for one consultation; `inputs` are the artifacts that are there, by name.

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
    if agent.reply == "analysis":
        told.append(load_prompt("analysis").fill(answer=_answer_wanted(choices)))
    system = (Message("system", "\n\n".join(told)),) if told else ()
    return Request(
        (*system, *asked),
        max_output=model.max_output,
        temperature=model.temperature,
        case=None if query else question.case,
        schema=analysis_schema(choices) if agent.reply == "analysis" and model.structured else None,
    )


def _answer_wanted(choices: tuple[str, ...]) -> str:
    """What stands behind `answer`, in the words of the prompt."""
    return "one of these, word for word: " + ", ".join(choices) if choices else "the answer alone, as text"
