"""One pipeline in four frameworks: three specialists, one of whom fails, an editor, and a limit on money.

All ask one scripted server on loopback (`billing_server.py`), so that calls and money are counted in the same way for
all. Each scenario has a process of its own: all is well; the model of one specialist answers with status
500 for good; the limit is a share of what the same contestant was billed when all was well. Lines are those of its file
that hold code, all formatted alike. `python bench/comparison/run.py --peers` installs the others, each into an
environment of its own, and writes the tables into `docs/comparison.md`; without `--peers` only ours is run.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.request import Request, urlopen

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from overhead import CONTESTANTS, child  # noqa: E402 - it lies beside this folder
from startup import ROOT, clean_env, peer_python, peer_version  # noqa: E402 - likewise

PAGE = ROOT / "docs" / "comparison.md"
BEGIN, END = "<!-- measured: written by bench/comparison/run.py -->\n", "<!-- end of what was measured -->\n"
SHARES = Decimal("1.05"), Decimal("0.6"), Decimal("0.25")
PLENTY = Decimal(1)
QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


@dataclass(frozen=True, slots=True)
class Entry:
    """Who competes: what it is called, the file of its pipeline, and what pip installs for it."""

    name: str
    module: str
    distribution: str = ""
    wanted: tuple[str, ...] = ()


ENTRIES = (
    Entry("thinkroute", "ours"),
    Entry("langgraph-supervisor", "supervisor", "langgraph-supervisor", ("langchain", "langchain-openai")),
    Entry("OpenAI Agents SDK", "agents_sdk", "openai-agents"),
    Entry("pydantic-ai", "pydantic_ai_tools", "pydantic-ai-slim", ("pydantic-ai-slim[openai]",)),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: what its caller got, and what the server saw."""

    answer: str | None
    status: str
    told: str
    calls: int
    failed: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """A contestant in all scenarios."""

    name: str
    lines: int
    well: Ran
    failure: Ran
    limits: tuple[tuple[Decimal, Ran], ...]
    """What was allowed, and what came of it, for each of `SHARES`."""


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docs.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in QUIET and token.string]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - docs)


def seen(root: str) -> tuple[int, int, Decimal]:
    """Calls that were answered, requests that failed, and USD."""
    with urlopen(root) as told:  # noqa: S310 - the server is our own
        found = json.load(told)
    return sum(found["asked"].values()), found["failed"], Decimal(found["usd"])


def run(python: Path | str, module: str, root: str, scenario: str, limit: Decimal) -> Ran:
    """One contestant in one scenario."""
    with urlopen(Request(f"{root}/scenario", data=json.dumps(scenario).encode())):  # noqa: S310 - our own server
        pass
    with tempfile.TemporaryDirectory() as folder:
        env = clean_env(Path(folder)) | {"OPENAI_BASE_URL": f"{root}/v1", "OPENAI_API_KEY": "no-key"}
        command = [str(python), str(HERE / "drive.py"), module, str(limit)]
        done = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise SystemExit(f"{module} did not run:\n{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    status = told.get("status") or ("raised" if told["error"] else "returned")
    return Ran(told["answer"], status, told["error"] or told.get("reasons", ""), *seen(root))


def rows(entries: Iterator[tuple[str, str, Path | str]]) -> list[Row]:
    """All contestants in all scenarios."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(CONTESTANTS / "billing_server.py")]
        with child(command, clean_env(Path(folder))) as server:
            root = f"http://127.0.0.1:{server.stdout.readline().strip() if server.stdout else ''}"
            return [_row(name, module, python, root) for name, module, python in entries]


def _row(name: str, module: str, python: Path | str, root: str) -> Row:
    well = run(python, module, root, "well", PLENTY)
    failure = run(python, module, root, "failure", PLENTY)
    allowed = [(well.usd * share).quantize(Decimal("0.000001")) for share in SHARES]
    limits = tuple((usd, run(python, module, root, "well", usd)) for usd in allowed)
    return Row(name, code_lines(HERE / f"{module}.py"), well, failure, limits)


def contestants(cache: Path | None) -> Iterator[tuple[str, str, Path | str]]:
    """Name with version, file, interpreter; says who is left out, and why."""
    for entry in ENTRIES:
        if not entry.distribution:
            yield entry.name, entry.module, sys.executable
        elif cache is None:
            print(f"{entry.name}: skipped, it is installed only with --peers", file=sys.stderr)
        else:
            try:
                python = peer_python(entry.distribution, cache / "comparison", *entry.wanted)
            except subprocess.CalledProcessError as error:
                print(f"{entry.name}: skipped, pip could not install it ({error.returncode})", file=sys.stderr)
                continue
            yield f"{entry.name} {peer_version(python, entry.distribution)}", entry.module, python


def usd(amount: Decimal) -> str:
    """Money as the table shows it: in thousandths of a dollar."""
    return f"{amount * 1000:.2f}"


def outcome(ran: Ran) -> str:
    """What the caller got."""
    said = f"“{ran.answer}”" if ran.answer else "no answer"
    told = " ".join(ran.told.split()).replace("|", "\\|")
    told = told.partition(". ")[0] if ran.status == "raised" else told  # the rest is advice
    told = f"; it is told: {told}" if told else "; it is told nothing"
    return f"{ran.status}, {said}{told}"


def table(found: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| | lines of code | calls | cost, m$ |",
        "|---|---:|---:|---:|",
        *(f"| {row.name} | {row.lines} | {row.well.calls} | {usd(row.well.usd)} |" for row in found),
        "",
        "| one specialist's model is down | calls | failed requests | cost, m$ | the caller gets |",
        "|---|---:|---:|---:|---|",
    ]
    for row in found:
        ran = row.failure
        lines.append(f"| {row.name} | {ran.calls} | {ran.failed} | {usd(ran.usd)} | {outcome(ran)} |")
    for number, share in enumerate(SHARES):
        lines += [
            "",
            f"| limit: {share:.0%} of the bill above | limit, m$ | calls | cost, m$ | over | the caller gets |",
        ]
        lines.append("|---|---:|---:|---:|---:|---|")
        for row in found:
            allowed, ran = row.limits[number]
            over = max(Decimal(0), ran.usd / allowed - 1)
            lines.append(
                f"| {row.name} | {usd(allowed)} | {ran.calls} | {usd(ran.usd)} | {over:.0%} | {outcome(ran)} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the flags, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="install the others too (needs a package index)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where they are installed")
    options = parser.parse_args()
    found = rows(contestants(options.cache if options.peers else None))
    print(table(found))
    if len(found) < len(ENTRIES):
        print(f"{PAGE.name} is left as it is: not all could be measured", file=sys.stderr)
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(found) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
