"""A Starlette application with starsessions, as its manual shows it. The same lines serve FastAPI.

clients/README.md says what each route is for; docs/frameworks/starlette.md shows the lines of the session.
"""

import os
from urllib.request import urlopen

import anyio.to_thread
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.serializers import JsonSerializer
from starsessions.session import generate_session_id, get_session_handler
from starsessions.stores.redis import RedisStore

IDLE = int(os.environ["IDLE_SECONDS"])

store = RedisStore(connection=Redis.from_url(os.environ["REDIS_URL"]))
middleware = [
    Middleware(
        SessionMiddleware,
        store=store,
        lifetime=IDLE,
        rolling=True,
        cookie_https_only=False,
    ),
    Middleware(SessionAutoloadMiddleware),
]


async def healthz(request):
    return JSONResponse({"ok": True})


async def me(request):
    return JSONResponse({"user": request.session.get("user")})


async def new_id(request):
    # starsessions 2 leaves the session under its old id as well; so that one is ended first.
    await get_session_handler(request).destroy()
    regenerate_session_id(request)


async def login(request):
    await new_id(request)
    request.session["user"] = request.query_params["user"]
    return JSONResponse({"user": request.session["user"]})


async def logout(request):
    request.session.clear()
    return JSONResponse({"user": None})


async def regenerate(request):
    await new_id(request)
    return JSONResponse({"user": request.session.get("user")})


async def cart(request):
    if request.method == "POST":
        request.session["cart_" + request.query_params["item"]] = True
    names = [name for name in request.session if name.startswith("cart_")]
    return JSONResponse({"cart": sorted(name.removeprefix("cart_") for name in names)})


async def slow(request):
    user = request.session.get("user")
    url = request.query_params["until"]
    await anyio.to_thread.run_sync(lambda: urlopen(url).read())
    request.session["cart_" + request.query_params["item"]] = True
    return JSONResponse({"user": user})


async def many(request):
    count = int(request.query_params["n"])
    for index in range(count):
        data = JsonSerializer().serialize({"user": f"many-{index}"})
        await store.write(generate_session_id(), data, lifetime=IDLE, ttl=IDLE)
    return JSONResponse({"made": count})


async def sessions(request):
    return JSONResponse({"why": "starsessions neither lists nor clears sessions"}, 501)


app = Starlette(
    middleware=middleware,
    routes=[
        Route("/healthz", healthz),
        Route("/me", me),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/regenerate", regenerate, methods=["POST"]),
        Route("/cart", cart, methods=["GET", "POST"]),
        Route("/slow", slow, methods=["POST"]),
        Route("/many", many, methods=["POST"]),
        Route("/sessions", sessions, methods=["GET", "DELETE"]),
    ],
)
