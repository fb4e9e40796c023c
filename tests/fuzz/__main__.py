"""`python -m tests.fuzz`, from the root of a checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest's `pythonpath`

from fuzz.command import main

sys.exit(main())
