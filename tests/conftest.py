"""Settings that hold for every test. Nothing here imports torch."""

import os

from hypothesis import HealthCheck, settings

# Two workers share two cores. Set before any worker imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `default` draws the same examples in every run. For a search: HYPOTHESIS_PROFILE=long pytest.
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long",
    derandomize=False,
    deadline=None,
    max_examples=2000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
