"""One function per command: it reads its inputs, calls the rooms, writes its results and the run record.

The command line, the demo and Python programs call these alike. Heavy libraries are imported where they are used, so
that `osteon --help` is quick.
"""

from osteon.verbs.audits import audit
from osteon.verbs.checklists import checklist
from osteon.verbs.data import healing, hospital, phantom, prepare, split
from osteon.verbs.detecting import Detecting, train_detector
from osteon.verbs.explaining import Checking, explain
from osteon.verbs.folders import Done
from osteon.verbs.intake import export, ingest
from osteon.verbs.judgement import evaluate
from osteon.verbs.models import Tuning, features, train
from osteon.verbs.privacy import check, deidentify
from osteon.verbs.ratings import agreement
from osteon.verbs.reading import read
from osteon.verbs.studies import train_studies
from osteon.verbs.worklists import triage

__all__ = [
    "Checking",
    "Detecting",
    "Done",
    "Tuning",
    "agreement",
    "audit",
    "check",
    "checklist",
    "deidentify",
    "evaluate",
    "explain",
    "export",
    "features",
    "healing",
    "hospital",
    "ingest",
    "phantom",
    "prepare",
    "read",
    "split",
    "train",
    "train_detector",
    "train_studies",
    "triage",
]
