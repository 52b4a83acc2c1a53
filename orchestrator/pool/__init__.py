"""Who there is: models, agents and the pool that holds them."""

from orchestrator.pool.descriptors import Agent, Model, Price, parse_model_name
from orchestrator.pool.experts import as_agent, expert
from orchestrator.pool.files import descriptor_schema, known_models, load_folder, load_pool
from orchestrator.pool.prices import list_price, priced
from orchestrator.pool.registry import Pool
from orchestrator.pool.risks import Risk
from orchestrator.pool.samples import sample_names

__all__ = [
    "Agent",
    "Model",
    "Pool",
    "Price",
    "Risk",
    "as_agent",
    "descriptor_schema",
    "expert",
    "known_models",
    "list_price",
    "load_folder",
    "load_pool",
    "parse_model_name",
    "priced",
    "sample_names",
]
