"""The texts of simulated AI jobs: prompts, parameters, responses, failures and the tester's extra members. Pure."""

import json
from functools import lru_cache
from hashlib import md5
from typing import NamedTuple

from orchboard.simulate.network import Model


class Prompt(NamedTuple):
    """A prompt of a tester."""

    id: str
    complexity: str
    text: str


PROMPTS = (
    Prompt("harbour-low", "low", "a small harbour at dawn"),
    Prompt("market-medium", "medium", "a covered market in the rain, lamps reflected in wet cobblestones"),
    Prompt(
        "regatta-high",
        "high",
        "a crowded regatta under storm clouds, torn sails, spray catching the last light, oil on canvas",
    ),
)

# Responses by pipeline. %(token)s: 32 hex digits; %(seed)d, %(number)d: integers; %(seconds).3f: the job's duration.
_IMAGE = (
    '{"images":[{"nsfw":false,"seed":%(seed)d,"url":"/stream/%(token)s/%(number)08x.png"}],'
    '"metadata":{"queue_seconds":0.004,"inference_seconds":%(seconds).3f,"output_format":"png"}}\n'
)
RESPONSES = {
    "Text to image": _IMAGE,
    "Image to image": _IMAGE,
    "Upscale": _IMAGE,
    "Image to video": (
        '{"images":[{"nsfw":false,"seed":%(seed)d,"url":"/stream/%(token)s/%(number)08x.mp4"}],'
        '"metadata":{"frames":25,"fps":8,"inference_seconds":%(seconds).3f}}\n'
    ),
    "Audio to text": (
        '{"text":" The tide turns at seven and the boats go out with it.","chunks":['
        '{"timestamp":[0,2.84],"text":" The tide turns at seven"},'
        '{"timestamp":[2.84,5.12],"text":" and the boats go out with it."}],"seconds":%(seconds).3f}\n'
    ),
    "Llm": (
        '{"id":"chatcmpl-%(token)s","object":"chat.completion","choices":[{"index":0,"message":'
        '{"role":"assistant","content":"An Ethereum address has 42 characters: the prefix 0x and\\n'
        '40 hexadecimal digits."},"finish_reason":"stop"}],"usage":{"prompt_tokens":38,"completion_tokens":'
        '24,"total_tokens":62},"seconds":%(seconds).3f}\n'
    ),
    "Segment anything 2": (
        '{"scores":"[0.9312, 0.8847, 0.7105]","masks":"sha256:%(token)s","seconds":%(seconds).3f}\n'
    ),
    "Live video to video": (
        '{"message":"live video test ended","stream_id":"%(token)s","playback_url":"/live/%(token)s/out",'
        '"total_frames":%(number)d,"average_fps":14.2,"test_duration":30.0,"initial_latency":%(seconds).3f,'
        '"terminal_status":{"state":"ONLINE","inference_status":{"fps":14.6,"restart_count":0,'
        '"last_error":null},"input_status":{"fps":24.0}}}\n'
    ),
}
FAILURES = (
    ("HTTP-STATUS-503", "Service Unavailable Error", '{"error":{"message":"Service Unavailable Error"}}\n'),
    ("HTTP-STATUS-503", "insufficient capacity", '{"error":{"message":"insufficient capacity"}}\n'),
    ("HTTP-STATUS-500", "Internal Server Error", '{"error":{"message":"Internal Server Error"}}\n'),
    ("HTTP-STATUS-400", "no orchestrators available", '{"error":{"message":"no orchestrators available"}}\n'),
)


BUSY_ERROR: dict[str, object] = {
    "error_code": "OrchestratorBusy",
    "message": "insufficient capacity",
    "count": 1,
}
"""The error of an orchestrator that has no capacity for a job: no verdict on it."""


def outcome_fields(outcome: str, model: Model, stream_id: str) -> dict[str, object]:
    """The extra members of an unscored result, or of a live video result."""
    if outcome.startswith("unscored_"):
        return {"unscored_reason": outcome.removeprefix("unscored_"), "defer_attempts": 3}
    if model.pipeline != "Live video to video":
        return {}
    has_passed = outcome == "passed"
    return {
        "stream_id": stream_id,
        "stream_valid": has_passed,
        "prompt_verification": "confirmed" if has_passed else "unverified",
        "prompt_confirmed": has_passed,
    }


@lru_cache
def parameters_of(model: Model, prompt: Prompt) -> tuple[str, str]:
    """A job's parameters as JSON, and their hash as testers calculate it."""
    parameters: dict[str, object] = {"model_id": model.name, "safety_check": False}
    match model.pipeline:
        case "Llm":
            messages = [
                {"role": "system", "content": "Answer in one sentence."},
                {
                    "role": "user",
                    "content": f"How many characters has an Ethereum address? Describe {prompt.text}.",
                },
            ]
            parameters |= {"messages": messages, "max_tokens": 256, "stream": False}
        case "Audio to text":
            parameters |= {"audio": "tide.mp3", "return_timestamps": "true"}
        case "Segment anything 2":
            parameters |= {
                "box": "[380.5, 130.0, 651.5, 479.0]",
                "multimask_output": True,
                "image": "harbour.png",
            }
        case "Image to video":
            parameters |= {
                "width": 1024,
                "height": 576,
                "fps": 8,
                "motion_bucket_id": 127,
                "image": "harbour.png",
            }
        case "Live video to video":
            parameters |= {"prompt": prompt.text, "width": 512, "height": 512, "target_fps": 12}
        case _:
            parameters |= {"prompt": prompt.text, "width": 512, "height": 512, "num_images_per_prompt": 1}
            parameters |= {"num_inference_steps": 20, "guidance_scale": 2}
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return text, md5(text.encode(), usedforsecurity=False).hexdigest()
