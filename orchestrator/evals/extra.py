"""The extra `eval`: numpy, scipy and scikit-learn, imported on use; what is said where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from orchestrator.errors import ConfigError

__all__ = ["need_extra"]

PACKAGES = ("numpy", "scipy", "sklearn")


def need_extra() -> None:
    """Nothing where the extra `eval` is installed; else raises `ConfigError` that says how to install it."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"evals need {' and '.join(missing)}", expected="the extra `eval`: pip install 'thinkroute[eval]'"
        )
