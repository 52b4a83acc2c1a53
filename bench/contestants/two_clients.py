"""The failover as it is written by hand: two clients, the second asked where the call of the first raises."""

from __future__ import annotations

from openai import APIError, AsyncOpenAI
from rescue import Fresh, Rescued, Task, compete


def two_clients(task: Task) -> Fresh:
    """A loop over two clients without retries; it remembers nothing and tells nothing."""
    clients = {
        name: AsyncOpenAI(base_url=url, api_key="no-key", max_retries=0, timeout=task.timeout)
        for name, url in (("first", task.first), ("second", task.second))
    }

    async def ask() -> Rescued:
        for name, client in clients.items():
            try:
                said = await client.chat.completions.create(
                    model=name,
                    messages=[{"role": "system", "content": task.system}, {"role": "user", "content": task.question}],
                )
            except APIError:
                continue
            return Rescued(said.choices[0].message.content)
        return Rescued(None)

    return lambda: ask


if __name__ == "__main__":
    compete(two_clients)
