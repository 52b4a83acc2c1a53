"""The probability of a model's yes as its confidence: asked for over the wire, billed, None where it is not told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from math import exp, log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Agent, Budget, ConfigError, Model, Orchestrator, Pool, Price
from orchestrator.confidence import calibrated
from orchestrator.providers import Completion
from orchestrator.sureness import share_of_yes
from orchestrator.trace.events import Replied, TryEnded, TryStarted
from tests.runs import QUESTION, Ran, checked
from tests.wire.server import Script, Seen, WireServer, whole
from tests.wire.vendors import Json, chat

PRICE = Price(input=Decimal(1), output=Decimal(4), as_of=date(2026, 1, 1), source="a test")
ONE_CALL = (100 * PRICE.input + 20 * PRICE.output) / 1_000_000
"""What any answer of the server's costs: it counts 100 tokens in and 20 out."""


def told(*tokens: tuple[object, object], text: str = "Yes") -> Script:
    """A reply of one token, and what else it could have been."""
    body = chat(text, finish="length")
    listed: list[Json] = [{"token": token, "logprob": number, "bytes": None} for token, number in tokens]
    body["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": listed}]}
    return whole(body)


def run(
    folder: Path, second: Script | None, *, first: Script | None = None, budget: Budget | None = None, **how: object
) -> tuple[Ran, list[Seen]]:
    """A run over one expert whose model is asked whether its reply is right."""
    with WireServer() as server:
        server.script(first or whole(chat("Rome")), *([second] if second else []))
        model = Model(
            name="small", provider="openai", base_url=server.openai_url, price=PRICE, max_output=300, logprobs=True
        )
        members = [model, Agent(name="small", model="small", confidence="yes-no", retries=0)]
        made = Orchestrator(members, trace=folder, budget=budget, **how)  # pyright: ignore[reportArgumentType]
        return checked(made.run_sync(QUESTION), folder), server.requests


def test_the_confidence_of_a_reply_is_the_probability_of_yes(tmp_path: Path) -> None:
    tokens = (("Yes", log(0.6)), (" yes", log(0.15)), ("No", log(0.2)), ("no.", log(0.05)), ("Maybe", -9.0))
    ran, seen = run(tmp_path, told(*tokens))
    (reply,) = ran.of(Replied)
    assert reply.confidence == pytest.approx(0.75)
    asked = seen[1].body
    assert (asked["logprobs"], asked["top_logprobs"], asked["max_tokens"]) == (True, 5, 1)
    assert "Rome" in str(asked["messages"])
    assert "logprobs" not in seen[0].body
    decision = ran.decision
    assert (decision.answer, decision.merge_calls, decision.expert_calls) == ("Rome", 1, 1)
    assert decision.cost_usd == 2 * ONE_CALL
    assert decision.confidence is None


def test_a_calibration_makes_of_it_what_it_is_worth_and_too_little_is_escalated(tmp_path: Path) -> None:
    pairs = [(str(n), 0.9 if n % 2 else 0.2, float(n % 2)) for n in range(200)]
    fit = calibrated(pairs, "verbalised")
    ran, _ = run(tmp_path / "sure", told(("yes", -0.05), ("no", -3.0)), confidence=fit, abstain_below=0.5)
    assert ran.decision.status == "answered"
    assert ran.decision.confidence == pytest.approx(1.0, abs=0.02)
    ran, _ = run(tmp_path / "not", told(("yes", -3.0), ("no", -0.05), text="No"), confidence=fit, abstain_below=0.5)
    assert ran.decision.status == "escalated"
    assert "abstained" in ran.decision.reasons[0]


@pytest.mark.parametrize(
    "second",
    [
        whole(chat("Yes", finish="length")),
        told(("Perhaps", -0.1), ("Rome", -2.0)),
        told(),
        told((None, -0.1), ("yes", "no"), ("no", None)),
        told(("yes", float("nan"))),
        whole({"error": {"message": "logprobs are not supported"}}, status=400),
    ],
    ids=["no probabilities", "neither word", "an empty list", "wrong types", "no number", "refused"],
)
def test_a_server_that_does_not_tell_leaves_the_confidence_open(second: Script, tmp_path: Path) -> None:
    ran, _ = run(tmp_path, second)
    assert ran.decision.answer == "Rome"
    assert ran.of(Replied)[0].confidence is None
    assert [event.purpose for event in ran.of(TryEnded)] == ["expert", "merge"]


def test_what_cannot_be_paid_is_not_asked(tmp_path: Path) -> None:
    long = whole(chat("Rome", usage={"prompt_tokens": 100, "completion_tokens": 300, "total_tokens": 400}))
    ran, seen = run(tmp_path, None, first=long, budget=Budget(usd=Decimal("0.00132")))
    assert (len(seen), len(ran.of(TryStarted))) == (1, 1)
    assert ran.of(Replied)[0].confidence is None
    assert (ran.decision.answer, ran.decision.cost_usd) == ("Rome", Decimal("0.0013"))


@given(st.lists(st.tuples(st.sampled_from(["yes", " Yes", "NO", "no.", "maybe", ""]), st.floats(0, 1)), max_size=5))
def test_a_share_is_a_probability_and_grows_with_yes(tokens: list[tuple[str, float]]) -> None:
    share = share_of_yes(Completion("", first_tokens=tuple(tokens)))
    yes = sum(p for token, p in tokens if "yes" in token.lower())
    no = sum(p for token, p in tokens if token.lower().startswith("no"))
    assert (share is None) == (yes + no == 0)
    if share is not None:
        assert 0 <= share <= 1
        more = share_of_yes(Completion("", first_tokens=(*tokens, ("yes", exp(-1)))))
        assert more is not None
        assert more >= share or more == pytest.approx(share)


def test_who_cannot_be_asked_is_refused() -> None:
    silent = Model(name="script:small", free=True)
    with pytest.raises(ConfigError, match="tells no probabilities of tokens"):
        Pool([silent, Agent(name="small", model="script:small", confidence="yes-no")])
    with pytest.raises(ConfigError, match="is a tool"):
        Agent(name="small", tool="calculator", confidence="yes-no")
