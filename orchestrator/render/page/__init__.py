"""An eval as one HTML file: verdict, figures, plot and every case with its trace; it asks no network for anything."""

from orchestrator.render.page.document import page
from orchestrator.render.page.figures import Shown

__all__ = ["Shown", "page"]
