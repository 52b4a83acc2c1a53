"""Monitors: what watches a run, and what it may ask for."""

from orchestrator.monitors.base import Asks, Monitor, MonitorFunction, Signal, Watch, as_monitor
from orchestrator.monitors.built_in import BudgetMonitor, DeadlineMonitor, HealthMonitor, ProgressMonitor, built_in
from orchestrator.monitors.risk import RiskMonitor

__all__ = [
    "Asks",
    "BudgetMonitor",
    "DeadlineMonitor",
    "HealthMonitor",
    "Monitor",
    "MonitorFunction",
    "ProgressMonitor",
    "RiskMonitor",
    "Signal",
    "Watch",
    "as_monitor",
    "built_in",
]
