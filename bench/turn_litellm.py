"""LiteLLM's proxy beside ours in `bench/turn.py --litellm`: both asked for chat completions, both
asking the same nginx, in the same run.

LiteLLM passes the completion on to the one model of its list. Ours routes over ten agents, orders
and keeps the conversation, and asks the agent as an OpenAI-compatible endpoint, streamed. LiteLLM
runs in an environment of its own (`.cache/bench/litellm`, made on first use from
`bench/rivals/litellm.txt`) with what it sends home switched off.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from agent import Framework

#: Seconds that it has to start.
PATIENCE = 180.0
#: The model of its list, and ours: a channel.
MODEL, CHANNEL = "agent", "acme/web"

CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "{base}", api_key: none}}
litellm_settings: {{telemetry: false}}
"""
ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOG": "ERROR",
}

WHOLE, STREAMED = "/whole/v1", "/streamed/v1"


def completion(text: str) -> str:
    """What an OpenAI-compatible endpoint answers at once."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12}
    kind = "chat.completion"
    return json.dumps(
        {"id": "c", "object": kind, "created": 1, "model": MODEL, "choices": [choice]}
        | {"usage": usage}
    )


def chunks(text: str) -> str:
    """The same, streamed."""
    told: list[dict[str, Any]] = [
        {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    frames = [json.dumps(head | {"choices": [choice]}) for choice in told]
    return "".join(f"data: {frame}\n\n" for frame in [*frames, "[DONE]"])


def body(model: str, text: str) -> bytes:
    """What a client asks."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


def start(base: str, port: int, workers: int, directory: str) -> "subprocess.Popen[str]":
    """LiteLLM's proxy on the port, before the endpoint at `base`; ready when this returns."""
    python = Framework("", "litellm").python()
    config = Path(directory) / "litellm.yaml"
    config.write_text(CONFIG.format(model=MODEL, base=base))
    command = [python.with_name("litellm"), "--config", config, "--host", "127.0.0.1"]
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    process = subprocess.Popen(
        [*map(str, command), "--port", str(port), "--num_workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=kept | ENVIRONMENT,
        text=True,
    )
    ends = time.monotonic() + PATIENCE
    while not _answers(f"http://127.0.0.1:{port}/health/liveliness"):
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            raise SystemExit(f"LiteLLM does not start; try: {' '.join(map(str, command))}")
        time.sleep(0.2)
    return process


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def check(url: str, model: str, text: str) -> None:
    """Raises unless the endpoint gives the agent's words."""
    asked = urllib.request.Request(
        url, body(model, text), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=30) as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
    assert answer == text, answer
