"""What is asked of an image. TASKS lists the questions; a bundle names the one it answers."""

from osteon.tasks.fracture import FRACTURE, Task

TASKS: dict[str, Task] = {"fracture": FRACTURE}
"""Task name → task. RUST, the healing score, joins here."""

__all__ = ["FRACTURE", "TASKS", "Task"]
