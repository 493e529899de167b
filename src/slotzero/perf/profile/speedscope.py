"""A profile as a file for speedscope (https://www.speedscope.app, which reads it in the browser). Pure."""

from typing import Final

import msgspec

from slotzero.perf.profile.records import Frame, Profile

__all__ = ["speedscope_json"]

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"


def speedscope_json(profile: Profile, title: str) -> bytes:
    """Return the profile as speedscope's "sampled" form, weights in nanoseconds. *Pure.*"""
    places: dict[Frame, int] = {}
    samples = [[places.setdefault(frame, len(places)) for frame in stack.frames] for stack in profile.stacks]
    document = {
        "$schema": _SCHEMA,
        "exporter": "slotzero",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(frame) for frame in places]},
        "profiles": [
            {
                "type": "sampled",
                "name": title,
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": profile.total_ns,
                "samples": samples,
                "weights": [stack.weight_ns for stack in profile.stacks],
            }
        ],
    }
    return msgspec.json.encode(document)


def _frame(frame: Frame) -> dict[str, str | int]:
    found: dict[str, str | int] = {"name": frame.function}
    if frame.file:
        found["file"] = frame.file
    if frame.line:
        found["line"] = frame.line
    return found
