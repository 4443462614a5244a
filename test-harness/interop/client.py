"""One session of the official Python SDK's client that knows nothing of policy: `client.py URL TOKEN MODE`.

MODE is what the SDK's client takes: `legacy`, `auto` or a revision. Prints a line of JSON for each step: its name, what came of it in
a word, how long it took.
"""

import asyncio
import json
import sys
import time

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError

PATIENCE = 60
WATCHED = "test://watched-resource"


async def step(name, what):
    """Runs one step; an error of the protocol is an outcome, and so is any other refusal."""
    started = time.monotonic()
    try:
        outcome = await asyncio.wait_for(what(), PATIENCE)
    except MCPError as error:
        outcome = f"error {error.code}"
    except (asyncio.TimeoutError, TimeoutError):
        outcome = "hangs"
    except BaseException as error:
        outcome = f"refused {reason(error)}"
    took = int((time.monotonic() - started) * 1000)
    print(json.dumps({"step": name, "outcome": outcome, "ms": took}), flush=True)


def reason(error):
    """The innermost error of a group: task groups wrap what went wrong in them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__} {error}"[:200]


def text(result):
    words = result.content[0].text
    return "isError" if result.is_error else words


async def session(url, headers, mode):
    updated = asyncio.Event()

    async def notified(message):
        if getattr(message, "method", "") == "notifications/resources/updated":
            updated.set()

    async def say(result):
        return text(await result)

    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        transport = streamable_http_client(url, http_client=http)
        started = time.monotonic()
        async with Client(transport, mode=mode, message_handler=notified) as client:
            took = int((time.monotonic() - started) * 1000)
            version = client.session.protocol_version
            print(json.dumps({"step": "initialize", "outcome": version, "ms": took}), flush=True)

            async def listed():
                names = [tool.name for tool in (await client.list_tools()).tools]
                return f"employee {'employee' in names}, forbidden {'forbidden' in names}"

            async def streamed():
                seen = []

                async def progress(done, total, message):
                    seen.append(done)

                await client.call_tool("steps", {"count": 3}, progress_callback=progress)
                return f"{len(seen)} notifications"

            async def employee():
                result = await client.call_tool("employee")
                return f"{json.loads(result.content[0].text)['ssn']} {result.structured_content['ssn']}"

            async def prompt():
                result = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
                return f"{len((await client.list_prompts()).prompts)} prompts, {result.messages[0].content.text}"

            async def resource():
                count = len((await client.list_resources()).resources)
                result = await client.read_resource("test://static-text")
                return f"{count} resources, {result.contents[0].text}"

            async def subscribed():
                if version >= "2026":
                    async with client.listen(resource_subscriptions=[WATCHED], tools_list_changed=True) as events:
                        await client.call_tool("test_trigger_tool_change")
                        async for event in events:
                            return "notified" if not isinstance(event, ResourceUpdated) else "the wrong one"
                await client.subscribe_resource(WATCHED)
                await updated.wait()
                return "notified"

            await step("list", listed)
            await step("call", lambda: say(client.call_tool("test_simple_text")))
            await step("stream", streamed)
            await step("redacted", employee)
            await step("prompt", prompt)
            await step("resource", resource)
            await step("notification", subscribed)
            await step("denied", lambda: say(client.call_tool("forbidden")))
            await step("after a denial", lambda: say(client.call_tool("test_simple_text")))
            await step("pending", lambda: say(client.call_tool("guarded")))
            await step("after an approval was asked", lambda: say(client.call_tool("test_simple_text")))
            await step("unauthorized", lambda: say(client.call_tool("elsewhere")))
            await step("after a 401", lambda: say(client.call_tool("test_simple_text")))


async def stranger(url, mode):
    async with httpx2.AsyncClient(headers={"authorization": "Bearer nonsense"}, timeout=PATIENCE) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode):
            return "let in"


async def main():
    url, token, mode = sys.argv[1:]
    try:
        await session(url, {"authorization": f"Bearer {token}"}, mode)
    except BaseException as error:
        print(json.dumps({"step": "session", "outcome": reason(error), "ms": 0}), flush=True)
    await step("stranger", lambda: stranger(url, mode))


asyncio.run(main())
