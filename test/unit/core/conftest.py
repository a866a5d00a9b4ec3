"""How much Hypothesis tries: `ci` in seconds, `nightly` 1e5 steps per property and arm."""

import os

from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    'ci', max_examples=6, deadline=None, derandomize=True, suppress_health_check=SLOW_IS_FINE
)
settings.register_profile(
    'nightly', max_examples=250, deadline=None, suppress_health_check=SLOW_IS_FINE
)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'ci'))
