"""What is asked of an image. TASKS lists the questions; a bundle names the one it answers."""

from osteon.tasks.fracture import FRACTURE, Task

TASKS: dict[str, Task] = {"fracture": FRACTURE}
"""Task name → yes-or-no task. The healing score, whose answer is a grade per cortex, is `osteon.tasks.rust`."""

__all__ = ["FRACTURE", "TASKS", "Task"]
