"""Cron schedules with durations, whose words are Go's."""

from __future__ import annotations

import pytest

from pilothouse.api.schedules import ScheduleError, parse


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("1.9s", 1), ("10ms", 1), ("0", 1), ("-5s", 1), ("2562047h", 2562047 * 3600)]
)
def test_every(text: str, seconds: int) -> None:
    assert parse(f"@every {text}").next(1000.0) == 1000.0 + seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9" * 5000 + "s", "time: invalid duration"),
        ("2562048h", 'time: invalid duration "2562048h"'),
        ("1", 'time: missing unit in duration "1"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_what_is_no_duration(text: str, words: str) -> None:
    with pytest.raises(ScheduleError, match=r"^failed to parse duration @every") as refused:
        parse(f"@every {text}")
    assert words in str(refused.value)
