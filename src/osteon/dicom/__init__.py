"""What a DICOM object means: its pixels as they are meant to be seen, and what its attributes say."""
