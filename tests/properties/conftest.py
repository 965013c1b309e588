"""How much the property tests do: few examples in bin/test, ten times as many in bin/integration.

FANOUT_HYPOTHESIS_EXAMPLES=5000 pytest tests/properties is a long run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# Read while pytest loads its plug-ins: a moment later tests/conftest.py clears the product's variables away.
_EXAMPLES = int(os.environ.get("FANOUT_HYPOTHESIS_EXAMPLES", "200"))

settings.register_profile(
    "fanout",
    max_examples=_EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    report_multiple_bugs=False,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fanout")
