"""Sample results of testers."""

from datetime import timedelta

ORCHESTRATOR = "0x22a48674a6fdf9335d89b6dbc05c38e2dc181475"


def transcoding(**members: object) -> dict[str, object]:
    """A transcoding result, as sent by a tester."""
    return {
        "region": "MDW",
        "orchestrator": ORCHESTRATOR,
        "success_rate": 1,
        "round_trip_time": 1.5,
        "errors": [],
        "timestamp": 1723741735,
        "seg_duration": 2.0,
        "segments_sent": 15,
        "segments_received": 30,
        "upload_time": 0.7,
        "download_time": 0.9,
        "transcode_time": 0.2,
    } | members


def ai(**members: object) -> dict[str, object]:
    """An AI result, as sent by a tester."""
    return {
        "region": "FRA",
        "orchestrator": ORCHESTRATOR,
        "success_rate": 1,
        "round_trip_time": 2.5,
        "errors": [],
        "timestamp": 1725029035,
        "model": "ByteDance/SDXL-Lightning",
        "model_is_warm": True,
        "pipeline": "text-to-image",
        "input_parameters": '{"prompt":"a bear"}',
        "response_payload": '{"images":[]}',
        "test_outcome": "scored",
    } | members


DAY = timedelta(days=1)
