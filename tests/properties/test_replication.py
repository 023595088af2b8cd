"""Whatever happens to documents, and in whatever order devices replicate, the laws of `world` hold.

PROPERTY_EXAMPLES sets the number of scripts for each property; with it, they are other ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings

from tests.properties.conftest import Stage
from tests.properties.script import Script, scripts

_EXAMPLES = os.environ.get("PROPERTY_EXAMPLES")


def _examples(usual: int) -> settings:
    return settings(
        max_examples=int(_EXAMPLES or usual),
        derandomize=_EXAMPLES is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@_examples(150)
@given(scripts())
def test_devices_and_source_agree_once_all_have_replicated(stage: Stage, script: Script) -> None:
    stage.play(script)


@_examples(60)
@given(scripts("compact"))
def test_what_is_hidden_survives_edits_of_revisions_whose_bodies_are_gone(stage: Stage, script: Script) -> None:
    stage.play(script)


@_examples(20)
@given(scripts("fall_out", "fall_out"))
def test_what_is_acknowledged_is_stored_and_nothing_else(
    frail_stage: Stage, without_pauses: None, script: Script
) -> None:
    frail_stage.play(script)
