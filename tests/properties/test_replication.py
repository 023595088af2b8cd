"""Whatever happens to documents, and in whatever order devices replicate, the laws of reading and writing hold."""

from __future__ import annotations

from hypothesis import given

from tests.properties.conftest import Stage, examples
from tests.properties.script import Script, scripts


@examples(100)
@given(scripts())
def test_devices_and_source_agree_once_all_have_replicated(stage: Stage, script: Script) -> None:
    stage.play(script)


@examples(50)
@given(scripts("compact"))
def test_what_is_hidden_survives_edits_of_revisions_whose_bodies_are_gone(stage: Stage, script: Script) -> None:
    stage.play(script)


@examples(20)
@given(scripts("fall_out", "fall_out"))
def test_what_is_acknowledged_is_stored_and_nothing_else(
    frail_stage: Stage, without_pauses: None, script: Script
) -> None:
    frail_stage.play(script)
