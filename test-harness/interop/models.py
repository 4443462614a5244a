"""One session each of the official OpenAI, Anthropic and A2A clients, which know nothing of policy: `models.py CLIENT URL TOKEN`.

CLIENT is `openai`, `anthropic` or `a2a`. Prints a line of JSON for each step: its name, what came of it, how long it took.
"""

import asyncio
import json
import sys
import time

PATIENCE = 30


async def step(name, what, refusal):
    """Runs one step; `refusal` says what came of an error that the client's own library made of the answer."""
    started = time.monotonic()
    try:
        outcome = await asyncio.wait_for(what(), PATIENCE)
    except (asyncio.TimeoutError, TimeoutError):
        outcome = "hangs"
    except Exception as error:  # noqa: BLE001: what a client makes of an answer is what is looked at
        outcome = refusal(error)
    took = int((time.monotonic() - started) * 1000)
    print(json.dumps({"step": name, "outcome": outcome, "ms": took}), flush=True)


def of_provider(error):
    """The exception's name and the violation in its body: both providers' libraries keep the body."""
    response = getattr(error, "response", None)
    code = response.headers.get("x-policy-violation") if response is not None else None
    return f"{type(error).__name__} {code}" if code else f"{type(error).__name__} {error}"[:300]


def ask(words):
    return [{"role": "user", "content": words}]


async def openai(url, token):
    import openai as library

    def client(key):
        return library.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)

    ours, stranger = client(token), client("nobody")

    async def chat(model="gpt-4o", who=ours, **more):
        answer = await who.chat.completions.create(model=model, messages=ask("hello"), **more)
        return answer.choices[0].message.content

    async def streamed(model):
        words = []
        async for chunk in await ours.chat.completions.create(model=model, messages=ask("hello"), stream=True):
            words.append(chunk.choices[0].delta.content or "")
        return "".join(words).strip()

    async def response(model="gpt-4o"):
        return (await ours.responses.create(model=model, input="hello")).output_text

    async def response_streamed():
        words = []
        async for event in await ours.responses.create(model="gpt-4o", input="hello", stream=True):
            if event.type == "response.output_text.delta":
                words.append(event.delta)
        return "".join(words).strip()

    for name, what in [
        ("allowed", chat),
        ("streamed", lambda: streamed("gpt-4o")),
        ("redacted", lambda: chat("gpt-guarded")),
        ("response", response),
        ("response streamed", response_streamed),
        ("response redacted", lambda: response("gpt-guarded")),
        ("denied", lambda: chat(max_tokens=1000)),
        ("after a denial", chat),
        ("unlisted", lambda: chat("other-model")),
        ("unauthorized", lambda: chat(who=stranger)),
        ("after a 401", chat),
    ]:
        await step(name, what, of_provider)


async def anthropic(url, token):
    import anthropic as library

    def client(key):
        return library.AsyncAnthropic(base_url=url, auth_token=key, max_retries=0, timeout=PATIENCE)

    ours, stranger = client(token), client("nobody")

    async def message(model="claude-sonnet", who=ours, tokens=10):
        answer = await who.messages.create(model=model, max_tokens=tokens, messages=ask("hello"))
        return answer.content[0].text

    async def streamed():
        words = []
        async with ours.messages.stream(model="claude-sonnet", max_tokens=10, messages=ask("hello")) as stream:
            async for text in stream.text_stream:
                words.append(text)
        return "".join(words).strip()

    for name, what in [
        ("allowed", message),
        ("streamed", streamed),
        ("redacted", lambda: message("claude-guarded")),
        ("denied", lambda: message(tokens=1000)),
        ("after a denial", message),
        ("unlisted", lambda: message("other-model")),
        ("unauthorized", lambda: message(who=stranger)),
        ("after a 401", message),
    ]:
        await step(name, what, of_provider)


async def a2a(url, token):
    import httpx
    from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
    from a2a.helpers import get_stream_response_text, new_text_message
    from a2a.types.a2a_pb2 import GetTaskRequest, Role, SendMessageRequest

    def refusal(error):
        code = getattr(error, "code", None)
        status = getattr(error, "status_code", None)
        return " ".join(str(part) for part in (type(error).__name__, code, status, error) if part is not None)[:300]

    def http(key):
        return httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE)

    async with http(token) as mine, http("nobody") as theirs:
        card = await A2ACardResolver(mine, url).get_agent_card()

        def client(who, streaming):
            return ClientFactory(ClientConfig(httpx_client=who, streaming=streaming)).create(card)

        async def send(words="hello", who=mine, streaming=False):
            said = []
            request = SendMessageRequest(message=new_text_message(words, role=Role.ROLE_USER))
            async for answer in client(who, streaming).send_message(request):
                said.append(get_stream_response_text(answer))
            return " ".join(said)

        async def task():
            return str(await client(mine, False).get_task(GetTaskRequest(id="none")))

        for name, what in [
            ("allowed", send),
            ("streamed", lambda: send(streaming=True)),
            ("denied", lambda: send("forbidden words")),
            ("denied streamed", lambda: send("forbidden words", streaming=True)),
            ("after a denial", send),
            ("unlisted", task),
            ("unauthorized", lambda: send(who=theirs)),
            ("after a 401", send),
        ]:
            await step(name, what, refusal)


def main():
    client, url, token = sys.argv[1:4]
    asyncio.run({"openai": openai, "anthropic": anthropic, "a2a": a2a}[client](url, token))


main()
