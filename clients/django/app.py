"""A Django application with Django's own sessions and users, as its manual shows them.

clients/README.md says what each route is for; docs/frameworks/django.md shows the settings of the sessions.
"""

import os
from importlib import import_module
from urllib.request import urlopen

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

wsgi = get_wsgi_application()

from django.contrib import auth
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import JsonResponse
from django.urls import path

engine = import_module(settings.SESSION_ENGINE)


def healthz(request):
    return JsonResponse({"ok": True})


def me(request):
    return JsonResponse({"user": user_of(request)})


def login(request):
    user, _ = User.objects.get_or_create(username=request.GET["user"])
    auth.login(request, user)
    return JsonResponse({"user": user.username})


def logout(request):
    auth.logout(request)
    return JsonResponse({"user": None})


def regenerate(request):
    request.session.cycle_key()
    return JsonResponse({"user": user_of(request)})


def cart(request):
    if request.method == "POST":
        request.session["cart_" + request.GET["item"]] = True
    names = [name for name in request.session.keys() if name.startswith("cart_")]
    return JsonResponse({"cart": sorted(name.removeprefix("cart_") for name in names)})


def slow(request):
    user = user_of(request)
    urlopen(request.GET["until"]).read()
    request.session["cart_" + request.GET["item"]] = True
    return JsonResponse({"user": user})


def many(request):
    count = int(request.GET["n"])
    for index in range(count):
        session = engine.SessionStore()
        session["user"] = f"many-{index}"
        session.create()
    return JsonResponse({"made": count})


def sessions(request):
    # `cached_db` has its sessions in the database as well.
    in_database = getattr(engine.SessionStore, "get_model_class", lambda: None)()
    if request.method == "DELETE":
        if in_database:
            in_database.objects.all().delete()
        cache.clear()
        return JsonResponse({"sessions": 0})
    if in_database:
        return JsonResponse({"sessions": in_database.objects.count()})
    if hasattr(cache, "iter_keys"):
        keys = cache.iter_keys(engine.SessionStore.cache_key_prefix + "*")
        return JsonResponse({"sessions": sum(1 for _ in keys)})
    return JsonResponse({"why": "Django's own RedisCache does not list keys"}, status=501)


def user_of(request):
    return request.user.username or None


urlpatterns = [
    path("healthz", healthz),
    path("me", me),
    path("login", login),
    path("logout", logout),
    path("regenerate", regenerate),
    path("cart", cart),
    path("slow", slow),
    path("many", many),
    path("sessions", sessions),
]
