"""What one input may cost: more is a finding."""

MAX_SECONDS = 10
MAX_RESIDENT_MB = 1024
