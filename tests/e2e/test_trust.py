"""`lmos up` with identities: its agents see of users what is verified, and let nobody else in."""

import hashlib
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AGENT = '''
from lmos import Agent, Context

whoami = Agent(
    name="whoami-agent",
    version="1.0.0",
    description="Who you are.",
    use_cases="""
### UseCase: who_am_i
#### Description
The customer asks who they are.
#### Solution
"You are you."
#### Examples
- who am I
""",
)


@whoami.output_filter
async def told(ctx: Context, text: str) -> str:
    claims = ctx.user.claims
    return f"{ctx.user.id} of {claims['tenant']}, verified {claims['verified']}"
'''
CHANNEL = """
apiVersion: lmos.eclipse/v1
kind: Channel
metadata: {name: acme-web, labels: {tenant: acme, channel: web}}
spec: {requiredCapabilities: [{name: who-am-i, version: ">=1.0.0"}]}
"""
TENANT = """
apiVersion: lmos.eclipse/v1
kind: Tenant
metadata: {name: acme}
spec: {keys: [{sha256: %s}]}
"""
KEY = "lmos_key-of-acme"


@pytest.mark.slow
def test_agents_believe_their_runtime_and_nobody_else(
    tmp_path: Path, platform: Callable[..., Any]
) -> None:
    folder = tmp_path / "agents" / "whoami"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "agent.py").write_text(AGENT)
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "acme-web.yaml").write_text(CHANNEL)
    tenants = tmp_path / "tenants.yaml"
    tenants.write_text(TENANT % hashlib.sha256(KEY.encode()).hexdigest())
    up = platform(tmp_path, "--identity", str(tenants)).started()
    body = {
        "inputContext": {"messages": [{"role": "user", "content": "who am I"}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": "ann"},
    }
    answer = up.post("/apis/v1/acme/chat/c/message", body, {"x-api-key": KEY})
    assert answer["content"] == "ann of acme, verified False"
    (port,) = {
        connection.laddr.port
        for agent in up.agents().values()
        for connection in agent.net_connections()
        if connection.status == "LISTEN"
    }
    up.url = f"http://127.0.0.1:{port}"
    model = {"model": "whoami-agent", "messages": [{"role": "user", "content": "who am I"}]}
    for headers in ({}, {"authorization": f"Bearer {KEY}"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            up.post("/v1/chat/completions", model, headers)
        assert refused.value.code == 401
    assert not re.search(r"error|failed", up.output(), re.IGNORECASE), up.output()
