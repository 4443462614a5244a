"""The server that the conformance suite and the client programs of `make interop` talk to.

Made on the official Python SDK; it knows nothing of policy. The names and texts of its tools, prompts and resources are those that
the suite asks for. `python fixture.py PORT`, then MCP Streamable HTTP at /mcp on loopback, every revision that the SDK speaks.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import warnings

import mcp.types as t
import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

warnings.simplefilter("ignore")  # older revisions are what it is for

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
INVALID_PARAMS = -32602
MISSING_CAPABILITY = -32021
STATE_KEY = b"a key for development"

bus = InMemorySubscriptionBus()
subscribed = set()


def text(words):
    return t.TextContent(type="text", text=words)


def image():
    return t.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri, words, mime="text/plain"):
    return t.EmbeddedResource(
        type="resource", resource=t.TextResourceContents(uri=uri, mime_type=mime, text=words)
    )


def answer(*blocks, error=False, structured=None):
    return t.CallToolResult(content=list(blocks), is_error=error, structured_content=structured)


# ---- what the server asks of the client ------------------------------------------------------------------------------------


def fields(properties, required=None):
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def elicit(message, **properties):
    return t.ElicitRequest(params=t.ElicitRequestFormParams(message=message, requested_schema=fields(properties)))


def sample(words, limit=100):
    message = t.SamplingMessage(role="user", content=text(words))
    return t.CreateMessageRequest(params=t.CreateMessageRequestParams(messages=[message], max_tokens=limit))


def roots():
    return t.ListRootsRequest()


STRING = {"type": "string"}
NAME = {"name": STRING}


def state(words):
    return words + "." + hmac.new(STATE_KEY, words.encode(), hashlib.sha256).hexdigest()


def state_of(params):
    """The words of a state that this server sealed; none without a state, an error for a forged one."""
    if params.request_state is None:
        return None
    words = params.request_state.rpartition(".")[0]
    if not hmac.compare_digest(state(words), params.request_state):
        raise MCPError(INVALID_PARAMS, "requestState is not one of this server")
    return words


def missing(params, asked):
    """Whether an answer to one of the questions is not there."""
    given = params.input_responses or {}
    return any(key not in given for key in asked)


def ask(asked, words=None):
    return t.InputRequiredResult(input_requests=asked, request_state=words and state(words))


def rounds(name, params, capabilities):
    """The tools that need more than one round; none if it is another tool."""
    one = {
        "elicitation": ({"user_name": elicit("What is your name?", **NAME)}, None),
        "sampling": ({"capital_question": sample("What is the capital of France?")}, None),
        "list_roots": ({"client_roots": roots()}, None),
        "request_state": ({"confirm": elicit("Please confirm", ok={"type": "boolean"})}, "request"),
        "tampered_state": ({"confirm": elicit("Please confirm", ok={"type": "boolean"})}, "tamper"),
        "multiple_inputs": (
            {
                "user_name": elicit("What is your name?", **NAME),
                "greeting": sample("Generate a greeting", 50),
                "client_roots": roots(),
            },
            "three",
        ),
    }
    if name in one:
        asked, words = one[name]
        if missing(params, asked):
            return ask(asked, words)
        if words is not None and state_of(params) != words:
            raise MCPError(INVALID_PARAMS, "requestState is missing")
        given = params.input_responses["user_name"] if name == "elicitation" else None
        return answer(text(f"Hello, {given.content['name']}!" if given else "state-ok"))
    if name == "multi_round":
        at = state_of(params)
        if at == "two" and not missing(params, ["step2"]):
            return answer(text("state-ok"))
        if at == "one" and not missing(params, ["step1"]):
            return ask({"step2": elicit("Step 2: What is your favorite color?", color=STRING)}, "two")
        return ask({"step1": elicit("Step 1: What is your name?", **NAME)}, "one")
    if name == "capabilities":
        asked = {}
        if capabilities and capabilities.sampling is not None:
            asked["capital_question"] = sample("What is the capital of France?")
        if capabilities and capabilities.elicitation is not None:
            asked["user_name"] = elicit("What is your name?", **NAME)
        if asked and missing(params, asked):
            return ask(asked)
        return answer(text("nothing to ask"))
    return None


# ---- tools -----------------------------------------------------------------------------------------------------------------

CONTENT = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [image()],
    "test_audio_content": [t.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")],
    "test_embedded_resource": [embedded("test://embedded-resource", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ],
}

DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}


def titled(**options):
    return [{"const": key, "title": title} for key, title in options.items()]


ENUMS = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": titled(value1="First", value2="Second", value3="Third")},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": titled(value1="First", value2="Second", value3="Third")}},
}

SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

NONE = fields({})
TOOLS = {name: NONE for name in CONTENT} | {
    "test_tool_with_logging": NONE,
    "test_tool_with_progress": NONE,
    "test_error_handling": NONE,
    "test_sampling": fields({"prompt": STRING}),
    "test_elicitation": fields({"message": STRING}),
    "test_elicitation_sep1034_defaults": NONE,
    "test_elicitation_sep1330_enums": NONE,
    "test_reconnection": NONE,
    "test_missing_capability": NONE,
    "test_streaming_elicitation": NONE,
    "test_logging_tool": NONE,
    "test_trigger_tool_change": NONE,
    "test_trigger_prompt_change": NONE,
    "test_custom_headers": fields({"region": {"type": "string", "x-mcp-header": "Region"}}),
    "json_schema_2020_12_tool": SCHEMA_2020,
    # Of ours, for the client programs.
    "employee": NONE,
    "steps": fields({"count": {"type": "integer"}}),
    "forbidden": NONE,
    "elsewhere": NONE,
    "guarded": NONE,
}
TOOLS |= {
    "test_input_required_result_" + name: NONE
    for name in (
        "elicitation sampling list_roots request_state tampered_state multiple_inputs multi_round capabilities".split()
    )
}


async def list_tools(ctx, params):
    return t.ListToolsResult(
        tools=[t.Tool(name=n, description=n.replace("_", " "), input_schema=s) for n, s in TOOLS.items()]
    )


async def log(ctx, words):
    await ctx.session.send_log_message("info", words, logger="fixture", related_request_id=ctx.request_id)


async def steps(ctx, count, total):
    for step in range(count):
        await ctx.session.report_progress(step * total / max(count - 1, 1), total)
        await asyncio.sleep(0.05)


async def asked_on_stream(ctx, name, arguments):
    """The tools that send the client a request of their own, as the stateful revisions have it."""
    if name == "test_sampling":
        message = t.SamplingMessage(role="user", content=text(arguments["prompt"]))
        reply = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
        return answer(text("LLM response: " + getattr(reply.content, "text", "none")))
    properties, required = {"response": STRING}, ["response"]
    if name == "test_elicitation_sep1034_defaults":
        properties, required = DEFAULTS, []
    if name == "test_elicitation_sep1330_enums":
        properties, required = ENUMS, []
    message = arguments.get("message", "Please answer")
    reply = await ctx.session.elicit_form(message, fields(properties, required), related_request_id=ctx.request_id)
    return answer(text(f"User response: action={reply.action}, content={json.dumps(reply.content)}"))


async def call_tool(ctx, params):
    name, arguments = params.name, params.arguments or {}
    if name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {name}")
    if name in CONTENT:
        return answer(*CONTENT[name])
    if name.startswith("test_input_required_result_"):
        capabilities = ctx.session.client_capabilities
        return rounds(name.removeprefix("test_input_required_result_"), params, capabilities)
    if name == "test_tool_with_logging" or name == "test_logging_tool":
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await log(ctx, words)
            await asyncio.sleep(0.05)
        return answer(text("done"))
    if name == "test_tool_with_progress":
        await steps(ctx, 3, 100)
        return answer(text("done"))
    if name == "steps":
        await steps(ctx, int(arguments["count"]), int(arguments["count"]))
        return answer(text("done"))
    if name == "test_error_handling":
        return answer(text("This tool intentionally returns an error for testing"), error=True)
    if name == "test_missing_capability":
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise MCPError(MISSING_CAPABILITY, "needs sampling", {"requiredCapabilities": {"sampling": {}}})
        return answer(text("has it"))
    if name == "test_streaming_elicitation":
        await ctx.session.report_progress(1, 2)
        return answer(text("done"))
    if name == "test_trigger_tool_change":
        await bus.publish(ToolsListChanged())
        return answer(text("done"))
    if name == "test_trigger_prompt_change":
        await bus.publish(PromptsListChanged())
        return answer(text("done"))
    if name == "test_reconnection":
        if ctx.close_sse_stream:
            await ctx.close_sse_stream()
        await asyncio.sleep(0.2)
        return answer(text("Reconnection test completed"))
    if name in ("test_sampling", "test_elicitation", "test_elicitation_sep1034_defaults", "test_elicitation_sep1330_enums"):
        return await asked_on_stream(ctx, name, arguments)
    if name == "employee":
        record = {"name": "Jane Smith", "ssn": "123-45-6789"}
        return answer(text(json.dumps(record)), structured=record)
    return answer(text(json.dumps({"tool": name, "arguments": arguments})))


# ---- prompts, resources and the rest -------------------------------------------------------------------------------------------

PROMPTS = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


async def list_prompts(ctx, params):
    def arguments(names):
        return [t.PromptArgument(name=n, description=n, required=True) for n in names]

    return t.ListPromptsResult(
        prompts=[t.Prompt(name=n, description=n.replace("_", " "), arguments=arguments(a)) for n, a in PROMPTS.items()]
    )


async def get_prompt(ctx, params):
    name, given = params.name, params.arguments or {}
    if name not in PROMPTS:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {name}")
    blocks = [text("This is a simple prompt for testing.")]
    if name == "test_prompt_with_arguments":
        blocks = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
    elif name == "test_prompt_with_embedded_resource":
        blocks = [
            embedded(given["resourceUri"], "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ]
    elif name == "test_prompt_with_image":
        blocks = [image(), text("Please analyze the image above.")]
    elif name == "test_input_required_result_prompt":
        asked = {"user_context": elicit("What context should the prompt use?", context=STRING)}
        if missing(params, asked):
            return ask(asked)
        blocks = [text("Use: " + params.input_responses["user_context"].content["context"])]
    return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=block) for block in blocks])


RESOURCES = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", None),
    "test://watched-resource": ("text/plain", "Watched resource content"),
}
TEMPLATE = "test://template/{id}/data"


async def list_resources(ctx, params):
    return t.ListResourcesResult(
        resources=[
            t.Resource(uri=uri, name=uri.removeprefix("test://"), description=uri, mime_type=mime)
            for uri, (mime, _) in RESOURCES.items()
        ]
    )


async def list_templates(ctx, params):
    template = t.ResourceTemplate(
        uri_template=TEMPLATE, name="template", description="by id", mime_type="application/json"
    )
    return t.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx, params):
    uri = str(params.uri)
    if uri in RESOURCES:
        mime, words = RESOURCES[uri]
        if words is None:
            content = t.BlobResourceContents(uri=uri, mime_type=mime, blob=PIXEL)
        else:
            content = t.TextResourceContents(uri=uri, mime_type=mime, text=words)
        return t.ReadResourceResult(contents=[content])
    before, after = TEMPLATE.split("{id}")
    if uri.startswith(before) and uri.endswith(after):
        key = uri[len(before) : -len(after)]
        words = json.dumps({"id": key, "templateTest": True, "data": f"Data for ID: {key}"})
        content = t.TextResourceContents(uri=uri, mime_type="application/json", text=words)
        return t.ReadResourceResult(contents=[content])
    raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})


async def subscribe(ctx, params):
    subscribed.add(str(params.uri))
    await ctx.session.send_resource_updated(params.uri)
    return t.EmptyResult()


async def unsubscribe(ctx, params):
    subscribed.discard(str(params.uri))
    return t.EmptyResult()


async def complete(ctx, params):
    values = [v for v in ("paris", "park", "party") if v.startswith(params.argument.value)]
    return t.CompleteResult(completion=t.Completion(values=values, total=len(values), has_more=False))


async def set_level(ctx, params):
    return t.EmptyResult()


class Events(EventStore):
    """Every event of every stream, for resumption; forgotten with the process."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        at = int(last_event_id)
        if not 0 < at <= len(self.events):
            return None
        stream = self.events[at - 1][0]
        for index, (other, message) in enumerate(self.events[at:], at + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(index)))
        return stream


def main():
    server = Server(
        "aplomb-interop-fixture",
        version="1.0.0",
        cache_hints={
            method: CacheHint(ttl_ms=1000, scope="public")
            for method in (
                "tools/list",
                "prompts/list",
                "resources/list",
                "resources/templates/list",
                "resources/read",
                "server/discover",
            )
        },
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=complete,
        on_set_logging_level=set_level,
    )
    app = server.streamable_http_app(event_store=Events(), retry_interval=100)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
