"""Agents by name, and the further samples of those that may be asked the same more than once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.pool.descriptors import Agent

__all__ = ["Agents", "sample_names"]

_MARK = "~"


def sample_names(agent: Agent) -> tuple[str, ...]:
    """What the samples of an agent are called: the first by its own name, the others `NAME~2`, `NAME~3`, …."""
    return (agent.name, *(f"{agent.name}{_MARK}{number}" for number in range(2, agent.samples + 1)))


class Agents(Mapping[str, Agent]):
    """The agents of a pool; a further sample is found by its name, but it is none of them."""

    def __init__(self, described: Mapping[str, Agent]) -> None:
        self._described = dict(described)
        self._samples: dict[str, Agent] = {
            name: agent.model_copy(update={"name": name, "samples": 1})
            for agent in described.values()
            for name in sample_names(agent)[1:]
        }

    def __getitem__(self, name: str) -> Agent:
        """The agent, or the sample, of a name."""
        return self._samples[name] if name in self._samples else self._described[name]

    def __contains__(self, name: object) -> bool:
        return name in self._described or name in self._samples

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    @property
    def further(self) -> tuple[str, ...]:
        """Names of all samples but the first ones."""
        return tuple(self._samples)

    def sampled(self, name: str) -> str:
        """Whose sample a name stands for; its own, where it is an agent's."""
        return name.rpartition(_MARK)[0] if name in self._samples else name
