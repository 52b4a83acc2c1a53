"""The failover by LiteLLM's Router: two deployments, the second the fallback of the first."""
# LiteLLM is installed in an environment of its own, which no checker sees:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
from typing import Any

import litellm
from litellm import Router
from rescue import Ask, Fresh, Rescued, Task, compete

TUNED: dict[str, Any] = {"num_retries": 0, "allowed_fails": 4, "cooldown_time": 30}
"""No retries, and a cooldown like that of our breakers: at the fifth failure, for half a minute."""


def shown(headers: dict[str, Any]) -> int:
    """Failed requests whose errors are told beside the answer; a deployment in its cooldown was not asked."""
    errors = json.loads(headers.get("x-litellm-fallback-errors", "[]"))
    return sum(error["type"] != "all_deployments_in_cooldown" for error in errors)


def litellm_router(task: Task) -> Fresh:
    """A router, and one question to it."""
    litellm.suppress_debug_info = True
    urls = {"first": task.first, "second": task.second}
    deployments = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": url, "api_key": "no-key"},
        }
        for name, url in urls.items()
    ]
    messages = [{"role": "system", "content": task.system}, {"role": "user", "content": task.question}]
    options = {"include_fallback_errors": True} if task.tuned else {}
    made: list[Router] = []

    def fresh() -> Ask:
        for router in made:
            router.discard()  # else its callbacks stay in LiteLLM's lists, and are called for those after it
        settings = TUNED if task.tuned else {}
        router = Router(deployments, fallbacks=[{"first": ["second"]}], timeout=task.timeout, **settings)
        made[:] = [router]

        async def ask() -> Rescued:
            said = await router.acompletion(model="first", messages=messages, **options)
            headers = said._hidden_params.get("additional_headers", {})  # noqa: SLF001 - there is no other door to them
            return Rescued(said.choices[0].message.content, lambda: shown(headers))

        return ask

    return fresh


if __name__ == "__main__":
    compete(litellm_router)
