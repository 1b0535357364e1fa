"""A fake API server on the wire: `over_http`."""

import asyncio
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from pilothouse.api.exchange import Request, UserInfo

ADMIN = UserInfo("admin", groups=("system:masters",))


@asynccontextmanager
async def over_http(handle):
    """An aiohttp front of `handle`: what the wire needs and no more."""

    async def front(request):
        asked = Request(
            request.method, request.path, list(request.query.items()),
            {k.lower(): v for k, v in request.headers.items()}, await request.read(), user=ADMIN,
        )  # fmt: skip
        answer = await handle(asked)
        headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-type"}
        if answer.events is None:
            return web.Response(
                status=answer.status, headers=headers, body=orjson.dumps(answer.object), content_type="application/json"
            )
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        async for batch in answer.events:
            lines = b"".join(orjson.dumps({"type": e.type, "object": e.object}) + b"\n" for e in batch)
            await stream.write(lines[: len(lines) // 2])
            await asyncio.sleep(0)
            await stream.write(lines[len(lines) // 2 :])
        return stream

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
