"""Builds what the options of `run` and `route` describe: a pool, its doors, the question, an orchestrator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import typer

from orchestrator.cli.missing import VENDOR_KEYS, check_keys, key_name, named_model
from orchestrator.cli.options import fault_injector, pool_of, question_of, silence_warnings, usd
from orchestrator.cli.run_options import PreferName, check_cassette

if TYPE_CHECKING:
    from orchestrator.messages import Message, Question
    from orchestrator.pipeline import Orchestrator
    from orchestrator.pool import Agent, Model, Pool
    from orchestrator.providers import Provider, ReplayProvider

__all__ = ["Parts", "Wanted", "built", "checkpoints", "composed", "orchestrator_of"]

ATTACHED_TOKENS = 32_000
"""Room for attached files where no model says how much it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    question: str | None = None
    pool: str | None = None
    agents: list[Path] | None = None
    router: str | None = None
    router_model: str | None = None
    model: list[str] | None = None
    goal: str | None = None
    prefer: PreferName = PreferName.balanced
    analyses: int | str = 1
    confidence: Path | None = None
    abstain_below: float | None = None
    docs: Path | None = None
    table: list[Path] | None = None
    recorded: Path | None = None
    case: str | None = None
    fail: list[str] | None = None
    merge: str | None = None
    budget: str | None = None
    max_tokens: int | None = None
    max_turns: int | None = None
    deadline: float | None = None
    trace: Path | bool = False
    no_content: bool = False
    cassette: Path | None = None
    record: bool = False
    system: Path | None = None
    messages: Path | None = None
    file: list[Path] | None = None
    durable: bool = False
    asks: bool = True
    """Whether anybody is to be asked at all."""

    @classmethod
    def of(cls, params: Mapping[str, object], **more: object) -> Self:
        """What the parameters of a command say; raises BadParameter where they do not go together."""
        known = {name.name for name in fields(cls)}
        wanted = cls(**cast("dict[str, Any]", {k: v for k, v in {**params, **more}.items() if k in known}))
        wanted.check()
        return wanted

    def check(self) -> None:
        """Raise BadParameter where options do not go together."""
        check_cassette(self.cassette, record=self.record)
        if self.case is not None and self.recorded is None:
            raise typer.BadParameter("--case goes with --recorded FILE")
        if self.recorded is not None and (self.pool or self.model or self.router_model):
            raise typer.BadParameter("--recorded brings its own pool and models")
        if self.durable and (self.cassette is not None or self.no_content or not self.trace):
            raise typer.BadParameter("--durable needs a trace with content, and real calls: no --cassette")
        if self.messages is not None and self.question is not None:
            raise typer.BadParameter("--messages holds the question already")


@dataclass(slots=True)
class Parts:
    """A pool with the doors to its models, and what replays calls among them."""

    pool: Pool
    providers: dict[str, Provider] = field(default_factory=dict[str, "Provider"])
    cassette: ReplayProvider | None = None


def built(wanted: Wanted) -> tuple[Orchestrator, Question, ReplayProvider | None]:
    """The orchestrator that is wanted, what to ask it, and the cassette it plays."""
    silence_warnings()
    parts, asked = _recorded(wanted, wanted.recorded) if wanted.recorded else (composed(wanted), _question(wanted))
    if wanted.asks:
        check_keys(parts.pool, lambda model: _reachable(model, wanted))
    return _orchestrator(wanted, parts), _attached(asked, wanted, parts.pool), parts.cassette


def orchestrator_of(wanted: Wanted) -> tuple[Orchestrator, ReplayProvider | None]:
    """The orchestrator that is wanted for questions yet to come, and the cassette it plays."""
    silence_warnings()
    parts = composed(wanted)
    check_keys(parts.pool, lambda model: _reachable(model, wanted))
    return _orchestrator(wanted, parts), parts.cassette


def _orchestrator(wanted: Wanted, parts: Parts) -> Orchestrator:
    from orchestrator.budget import Budget
    from orchestrator.pipeline import Orchestrator
    from orchestrator.tools import Resources

    return Orchestrator(
        parts.pool,
        router=_router(wanted, parts.pool),
        providers=parts.providers,
        merge=wanted.merge,
        analyses=wanted.analyses,
        prefer=wanted.prefer.value,
        budget=Budget(
            usd=usd(wanted.budget) if wanted.budget is not None else None,
            tokens=wanted.max_tokens,
            turns=wanted.max_turns,
            seconds=wanted.deadline,
        ),
        resources=Resources(wanted.docs, tuple(wanted.table or ())),
        faults=fault_injector(wanted.fail or [], list(parts.pool.agents)),
        trace=wanted.trace,
        content=not wanted.no_content,
        confidence=wanted.confidence,
        abstain_below=wanted.abstain_below,
        checkpointer=checkpoints() if wanted.durable else None,
    )


def checkpoints() -> Path:
    """The file in which the command line keeps checkpoints."""
    from orchestrator.trace import runs_folder

    return runs_folder().parent / "checkpoints.sqlite"


def _recorded(wanted: Wanted, file: Path) -> tuple[Parts, Question]:
    """Pool, providers and question of a file of recorded outcomes."""
    from orchestrator.errors import ConfigError
    from orchestrator.providers import read_recorded

    recorded = read_recorded(file)
    case = recorded.find(case=wanted.case, question=None if wanted.case else question_of(wanted.question))
    if wanted.budget is not None and not recorded.priced():
        raise ConfigError("records no costs, so no budget can be kept", file=str(file), field="budget")
    if all(take.response is None for take in case.takes.values()):
        raise ConfigError(
            "records no responses: it tells who would have been right, not what was said",
            file=str(file),
            expected="a file with responses",
        )
    return Parts(recorded.pool, {"recorded": recorded.provider()}), case.question


def composed(wanted: Wanted) -> Parts:
    """The named pool; without a name the local one, and where keys are found the experts of the cloud beside it."""
    from orchestrator.pool import Pool, load_pool

    pool = pool_of(wanted.pool, wanted.agents)
    members = _named([*pool.models.values(), *pool.agents.values()])
    router, merger = pool.router, pool.merger
    if wanted.pool is None and wanted.router != "plan":
        cloud = load_pool("cloud", (), plugins=False)
        experts = {n: a for n, a in cloud.agents.items() if a.model and _reachable(cloud.models[a.model], wanted)}
        members = _named([*cloud.models.values(), *experts.values()]) | members
        router = router or _first_reachable((cloud.router, *(a.model for a in experts.values())), cloud, wanted)
        merger = merger or router
    members = _named(_ad_hoc(wanted)) | members
    chosen = wanted.router_model or router
    named = Pool(
        [*members.values(), *pool.risks.values()],
        goals=pool.goals,
        name=pool.name,
        router=chosen,
        merger=merger or chosen,
    )
    return _with_cassette(Parts(named), wanted)


def _named(members: Iterable[Model | Agent]) -> dict[tuple[type, str], Model | Agent]:
    """Members by kind and name: an agent may be called as its model is."""
    return {(type(member), member.name): member for member in members}


def _ad_hoc(wanted: Wanted) -> list[Model | Agent]:
    """What `--model` and `--router-model` bring."""
    from orchestrator.pool.ad_hoc import agents_for
    from orchestrator.pool.files import known_models

    known = known_models(wanted.agents or ())
    for name in wanted.model or ():
        named_model(name, known, field="--model")
    found = agents_for(wanted.model or (), known)
    if wanted.router_model is not None:
        router = named_model(wanted.router_model, known, field="--router-model")
        found.append(router.model_copy(update={"name": wanted.router_model}))
    return found


def _first_reachable(names: tuple[str | None, ...], pool: Pool, wanted: Wanted) -> str | None:
    return next((name for name in names if name and _reachable(pool.models[name], wanted)), None)


def _reachable(model: Model, wanted: Wanted) -> bool:
    """Whether a model can be asked: it needs no key, or its key is found, or was when the calls were recorded."""
    from orchestrator.providers.replay import noted_keys

    key = key_name(model)
    if key is None:
        return True
    if wanted.cassette is None or wanted.record:
        return bool(os.environ.get(key))
    noted = noted_keys(wanted.cassette)
    return noted is None or key in noted


def _with_cassette(parts: Parts, wanted: Wanted) -> Parts:
    """The parts with a cassette before every door, where one is asked for."""
    from orchestrator.pipeline.parts import doors
    from orchestrator.providers import RecordingProvider, ReplayProvider
    from orchestrator.providers.replay import note_keys

    if wanted.cassette is None:
        return parts
    if wanted.record:
        keys = {model.key_env for model in parts.pool.models.values()} | set(VENDOR_KEYS.values())
        note_keys(wanted.cassette, (key for key in keys if key and os.environ.get(key)))
        parts.providers = {
            name: RecordingProvider(door, wanted.cassette) for name, door in doors(None, parts.pool).items()
        }
    else:
        parts.cassette = ReplayProvider(wanted.cassette)
        parts.providers = dict.fromkeys(doors(None, parts.pool), parts.cassette)
    return parts


def _router(wanted: Wanted, pool: Pool) -> str:
    """The router that is wanted, or the best that is there: a model where one is named and reachable, else the plan."""
    inner, plus, steps = (wanted.router or "").rpartition("+")
    if inner == "llm":
        return _named_router(wanted, pool) + plus + steps
    if wanted.router not in (None, "llm"):
        return wanted.router
    if wanted.recorded is not None:
        return "plan"
    if wanted.router == "llm" or wanted.router_model is not None:
        return _named_router(wanted, pool)
    if wanted.analyses != 1:  # several analyses are the plan's to ask for; a model decides itself whom it asks
        return "plan"
    return "llm" if pool.router is not None and _reachable(pool.models[pool.router], wanted) else "plan"


def _named_router(wanted: Wanted, pool: Pool) -> str:
    """The router's model that was asked for; raises `ConfigError` where there is none, or its key is missing."""
    from orchestrator.errors import ConfigError

    name = wanted.router_model or pool.router
    if name is None:
        keys = " or ".join(f"export {key}=…" for key in VENDOR_KEYS.values())
        expected = (
            f"--router-model PROVIDER:ID (orchestrator models list), a key ({keys}), or a pool that names a router"
        )
        raise ConfigError("no model is named for it", field="--router llm", expected=expected)
    model = pool.models[name]
    if wanted.asks and not _reachable(model, wanted):
        key = key_name(model)
        expected = f"its key in {key}: export {key}=…, then orchestrator models check {name}"
        raise ConfigError(f"there is no key for {name}", field="--router-model", expected=expected)
    return name


def _question(wanted: Wanted) -> Question:
    """The question from argument, standard input or a file of messages, after the system text."""
    from orchestrator.messages import Message, Question, as_question

    if wanted.messages is not None:
        asked = as_question(_listed(wanted.messages))
    else:
        asked = as_question(question_of(wanted.question))
    if wanted.system is None:
        return asked
    return Question((Message("system", _text(wanted.system)), *asked.messages))


def _listed(path: Path) -> list[Message | Mapping[str, object]]:
    try:
        found: object = json.loads(_text(path))
    except ValueError as error:
        raise typer.BadParameter(f"--messages {path}: no JSON: {error}") from error
    if not isinstance(found, list):
        raise typer.BadParameter(f"--messages {path}: expected a list of messages")
    return cast("list[Message | Mapping[str, object]]", found)


def _attached(asked: Question, wanted: Wanted, pool: Pool) -> Question:
    """The question with the attached files behind it; raises BadParameter where they are more than a model holds."""
    from orchestrator.providers.base import CHARACTERS_PER_TOKEN

    if not wanted.file:
        return asked
    texts = [f"File {path.name}:\n{_text(path)}" for path in wanted.file]
    tokens = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
    windows = [pool.models[a.model].context_window for a in pool.agents.values() if a.model]
    room = max((window // 2 for window in windows if window), default=ATTACHED_TOKENS)
    if tokens > room:
        raise typer.BadParameter(f"--file: about {tokens:,} tokens are attached, there is room for {room:,}")
    last = asked.messages[-1]
    content = "\n\n".join([last.content, *texts])
    return replace(asked, messages=(*asked.messages[:-1], replace(last, content=content)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is no text in UTF-8") from error
