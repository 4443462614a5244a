"""What the clients of models and agents talk to: `providers.py PORT PUBLIC`. Models answer in the shapes of OpenAI and Anthropic; the
agent is an ordinary server on the official A2A SDK. PUBLIC is where clients find it, as its card says.

A model says the caller's last words back, and after them a number that policy redacts.
"""

import asyncio
import json
import sys

import uvicorn
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

SSN = "123-45-6789"


def said(messages):
    content = messages[-1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    return f"{text} {SSN}"


def events(payloads, named):
    """Server-sent events, with the type as their name where the provider does so."""

    async def body():
        for payload in payloads:
            name = f"event: {payload['type']}\n" if named else ""
            text = payload if isinstance(payload, str) else json.dumps(payload)
            yield f"{name}data: {text}\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(body(), media_type="text/event-stream")


async def chat(request):
    asked = await request.json()
    text = said(asked["messages"])
    head = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
    if asked.get("stream"):
        deltas = [{"role": "assistant", "content": ""}, *({"content": word + " "} for word in text.split())]
        chunks = [
            {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in deltas
        ]
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunks.append({**head, "object": "chat.completion.chunk", "choices": [last]})
        return events([*chunks, "[DONE]"], named=False)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


async def responses(request):
    asked = await request.json()
    part = {"type": "output_text", "text": f"{asked['input']} {SSN}", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    whole = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"], "status": "completed", "output": [message],
        "parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
        "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
    }
    if not asked.get("stream"):
        return JSONResponse(whole)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun = {**whole, "status": "in_progress", "output": []}
    all_events = [{"type": "response.created", "response": begun}]
    for word in part["text"].split():
        all_events.append({"type": "response.output_text.delta", "delta": word + " ", "logprobs": [], **place})
    all_events.append({"type": "response.completed", "response": whole})
    return events([{**event, "sequence_number": at} for at, event in enumerate(all_events)], named=True)


async def messages(request):
    asked = await request.json()
    text = said(asked["messages"])
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": usage,
    }
    if not asked.get("stream"):
        return JSONResponse({**head, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"})
    all_events = [
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for word in text.split():
        delta = {"type": "text_delta", "text": word + " "}
        all_events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    all_events.append({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    all_events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}})
    all_events.append({"type": "message_stop"})
    return events(all_events, named=True)


class Echo(AgentExecutor):
    """Says the caller's words back."""

    async def execute(self, context, event_queue):
        words = f"{context.get_user_input()} {SSN}"
        await event_queue.enqueue_event(new_text_message(words, context_id=context.context_id))

    async def cancel(self, context, event_queue):
        raise NotImplementedError


def agent(public):
    skill = AgentSkill(id="echo", name="Echo", description="Says it back", tags=["test"])
    card = AgentCard(
        name="Echo", description="Says it back", version="1", capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"], skills=[skill],
        supported_interfaces=[AgentInterface(url=f"{public}/agent", protocol_binding="JSONRPC", protocol_version="1.0")],
    )
    handler = DefaultRequestHandler(agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=card)
    return [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/agent", enable_v0_3_compat=True)]


def main():
    port, public = int(sys.argv[1]), sys.argv[2]
    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/responses", responses, methods=["POST"]),
        Route("/v1/messages", messages, methods=["POST"]),
        *agent(public),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="warning")


main()
