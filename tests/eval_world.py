"""What evals in tests run over: recorded files of our own making, suites in folders, and a server that counts."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Self
from unittest.mock import patch

from orchestrator.cli import main
from tests.commands import MAIN
from tests.conftest import ROOT

MODELS = {"large": (0.9, 0.004), "medium": (0.7, 0.002), "small": (0.5, 0.0005)}
"""Model: how often it is right, USD a question."""
PRICE = "price = { input = 2.0, output = 10.0, source = 'made up', as_of = 2026-01-01 }"
KEY = "sk-of-nobody"
"""No key of anybody's."""


def record(number: int, draw: Random, *, responses: bool = True, split: str | None = None) -> dict[str, Any]:
    """A recorded case: a sum that each model gets right as often as it does."""
    right = str(number * 7)
    outcomes: dict[str, Any] = {}
    for model, (skill, usd) in MODELS.items():
        score = float(draw.random() < skill)
        said = right if score else str(number * 7 + 1)
        usage = {"input_tokens": 40 + number % 7, "output_tokens": 10}
        outcomes[model] = {"score": score, "cost_usd": usd, **usage, "response": said if responses else None}
    chosen = split or ("train" if number % 3 == 0 else "test")
    return {"id": f"c{number:03}", "question": f"What is 7 times {number}?", "split": chosen, "outcomes": outcomes}


def recorded_file(path: Path, cases: int = 30, *, seed: int = 0, responses: bool = True, **changed: object) -> Path:
    """A file of such cases; `changed` is laid over every record."""
    draw = Random(f"world {seed}")
    return write_lines(path, [{**record(n, draw, responses=responses), **changed} for n in range(cases)])


def lured(cases: int, seed: int, shuffled: int | None = None) -> list[dict[str, Any]]:
    """Recorded answers of three cheap models and a dear one, who err together on hard questions.

    With `shuffled` the answers of train are held to the truth of other questions.
    """
    draw = Random(seed)
    truths = [draw.choice("ABCD") for _ in range(cases)]
    rows = [_lured_row(number, truth, draw) for number, truth in enumerate(truths)]
    held_to = list(truths)
    if shuffled is not None:
        Random(shuffled).shuffle(held_to)
    for row_, truth, other in zip(rows, truths, held_to, strict=True):
        right = other if row_["split"] == "train" else truth
        row_["outcomes"] = {
            name: {"score": float(said == right), "cost_usd": float(cost), "response": said, "input_tokens": 1}
            for name, said, cost in row_.pop("said")
        }
    return rows


LURED = {
    "a": (0.9, 0.3, "0.0002"),
    "b": (0.94, 0.35, "0.0003"),
    "c": (0.97, 0.45, "0.0004"),
    "d": (0.99, 0.9, "0.005"),
}
"""Chance of being right on easy and on hard questions, and cost."""


def _lured_row(number: int, truth: str, draw: Random) -> dict[str, Any]:
    hard, lure = draw.random() < 0.3, draw.choice([each for each in "ABCD" if each != truth])
    said: list[tuple[str, str, str]] = []
    for name, (easy, difficult, cost) in LURED.items():
        wrong = lure if draw.random() < 0.5 else draw.choice([each for each in "ABCD" if each != truth])
        said.append((name, truth if draw.random() < (difficult if hard else easy) else wrong, cost))
    split = "train" if number % 2 else "test"
    return {"id": f"{number}", "question": f"Q{number}?", "split": split, "choices": list("ABCD"), "said": said}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A JSON lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def suite_folder(folder: Path, suite: str, cases: Sequence[Mapping[str, Any]], **files: str) -> Path:
    """A suite in a folder; `files` are written beside it, `__` in a name standing for a dot and `_in_` for a slash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.toml").write_text(suite, encoding="utf-8")
    write_lines(folder / "cases.jsonl", cases)
    for name, text in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command wrote."""

    stdout: str
    stderr: str


@dataclass(slots=True)
class Lab:
    """Runs `orchestrator eval …` in a folder."""

    env: Mapping[str, str]
    folder: Path

    def run(self, *args: str, code: int = 0) -> Finished:
        """The command in this process, so that many are cheap; it ends with `code`."""
        out, err, ended = io.StringIO(), io.StringIO(), 0
        argv = ["orchestrator", "eval", *args]
        with (
            patch.dict(os.environ, self.env),
            patch.object(sys, "argv", argv),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as exit_:
                ended = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        assert ended == code, f"{ended}: {out.getvalue()}{err.getvalue()}"
        return Finished(out.getvalue(), err.getvalue())

    def report(self, *args: str, code: int = 0) -> dict[str, Any]:
        """The one JSON document of a command."""
        found: dict[str, Any] = json.loads(self.run(*args, "--json", code=code).stdout)
        return found

    def started(self, *args: str) -> subprocess.Popen[str]:
        """The process, just begun."""
        env = {**self.env, "PYTHONPATH": os.pathsep.join([str(ROOT), self.env["PYTHONPATH"]])}
        command = [sys.executable, "-c", MAIN, "eval", *args]
        return subprocess.Popen(
            command, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )

    def results(self, run: str) -> list[dict[str, Any]]:
        """What an eval kept of its cases."""
        return [
            json.loads(line) for line in (self.folder / run / "results.jsonl").read_text(encoding="utf-8").splitlines()
        ]


def row(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The row of a system."""
    (found,) = (each for each in report["systems"] if each["name"] == name)
    return dict(found)


def plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what no two runs share: its name, its head and times."""
    timed = {"latency_p50", "latency_p95"}
    systems = [{name: value for name, value in each.items() if name not in timed} for each in report["systems"]]
    return {**{name: report[name] for name in ("suite", "comparisons", "verdict")}, "systems": systems}


@dataclass(slots=True)
class CountingServer:
    """A server that speaks OpenAI's chat protocol on loopback: it multiplies, counts, and takes its time."""

    delay: float = 0.0
    counted: bool = True
    """Whether it says how many tokens it took."""
    stalls: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """Seconds that the next answers to a question take, instead."""
    judge: Callable[[str], str] | None = None
    """What the model `umpire` says of what it is asked."""
    judged: list[str] = field(default_factory=list[str])
    """What it was asked."""
    requests: Counter[str] = field(default_factory=Counter[str])
    """Requests that came, by question."""
    most: int = 0
    """Requests that were open at the same time, at most."""
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(world.answer(body)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # whoever asked was killed

            def handle(self) -> None:
                with suppress(ConnectionError):
                    super().handle()

            def log_message(self, *args: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The product that the last message asks for."""
        text = str(body["messages"][-1]["content"])
        if self.judge is not None and body["model"] == "umpire":
            with self._lock:
                self.judged.append(text)
            return self._said(body, self.judge(text))
        with self._lock:
            self.requests[text] += 1
            self._open += 1
            self.most = max(self.most, self._open)
        waits = self.stalls.get(text)
        time.sleep(waits.pop(0) if waits else self.delay)
        with self._lock:
            self._open -= 1
        left, right = re.findall(r"(\d+) times (\d+)", text)[-1]
        return self._said(body, str(int(left) * int(right)))

    def _said(self, body: Mapping[str, Any], text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
        whole = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        return {**whole, "usage": usage} if self.counted else whole


def asking_suite(folder: Path, url: str, cases: int = 12, *, more: str = "", price: str = PRICE) -> Path:
    """A suite over one model behind a server, with a price."""
    pool = f"""
[pool]
goals = ["answer"]

[models.sums]
id = "sums"
provider = "openai"
base_url = "{url}"
key_env = "SUMS_KEY"
max_output = 64
{price}

[agents.sums]
model = "sums"
role = "multiplies"
"""
    asked = [{"id": f"q{n}", "question": f"What is 7 times {n}?", "reference": str(7 * n)} for n in range(cases)]
    suite = f'[suite]\nname = "sums"\ndata = ["cases.jsonl"]\npool = "pool"\nscorer = "number"\n{more}'
    return suite_folder(folder, suite, asked, pool_in_pool__toml=pool)
