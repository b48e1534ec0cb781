"""osteon: AI on bone radiographs, honestly measured. Research software, not a medical device."""

__version__ = "0.1.0"
