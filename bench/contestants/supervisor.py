"""The three calls by langgraph-supervisor: the supervisor hands over to its one expert, and concludes."""
# langgraph-supervisor and langchain-openai are installed in an environment of their own, which no checker sees, and
# its own README still makes experts by `create_react_agent`, which LangGraph calls deprecated:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportDeprecated=false

from __future__ import annotations

from collections.abc import Awaitable, Callable

from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor
from pace import Task, compete


def supervisor(task: Task) -> Callable[[], Awaitable[object]]:
    """A run: the compiled supervisor from a question to its last message."""
    router, knows = (
        ChatOpenAI(model=name, base_url=task.base_url, api_key="no-key", max_retries=0, max_tokens=4096)
        for name in ("router", "expert")
    )
    expert = create_react_agent(knows, tools=[], name="expert", prompt="You know physics.")
    compiled = create_supervisor([expert], model=router, prompt=task.system).compile()

    async def run() -> object:
        ended = await compiled.ainvoke({"messages": [{"role": "user", "content": task.question}]})
        return ended["messages"][-1].content

    return run


if __name__ == "__main__":
    compete(supervisor)
