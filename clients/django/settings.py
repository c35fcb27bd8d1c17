"""Settings of the Django application. docs/frameworks/django.md shows the lines of the sessions."""

import os
from importlib import import_module
from pathlib import Path

SECRET_KEY = os.environ["SESSION_SECRET"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "app"
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["DATA_DIR"]) / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60},
    }
}

# The variant: `core cache`, `core cached_db`, `django_redis cache` or `django_redis cached_db`.
caches, engine = os.environ["VARIANT"].split()
CACHES = import_module(f"caches.{caches}").CACHES

SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
SESSION_COOKIE_AGE = int(os.environ["IDLE_SECONDS"])
# Each request begins the idle time anew; without this, only one that changes the session does.
SESSION_SAVE_EVERY_REQUEST = engine == "cache"
