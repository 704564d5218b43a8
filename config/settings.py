"""The one settings module: every difference between installations is an environment variable.

Each variable is listed in `.env.example` with its default; `docs/configuration.md` explains them.
"""

from __future__ import annotations

import os
from pathlib import Path

import environ
from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from config.console import UNFOLD as UNFOLD
from config.keys import read_or_make_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(os.environ.get("EASEL_ENV_FILE") or BASE_DIR / ".env")

# Everything Easel writes without being told where: database, keys, private servers.
VAR_DIR = Path(env.str("EASEL_VAR_DIR", default=str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_make_key(VAR_DIR / "secret_key", size=48)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "canvas",
    "syncmetrics",
    "sandbox",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'easel.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE and a busy timeout: with Django's defaults concurrent writers lose transactions
    # to "database is locked" (measured: docs/adr/0002-embedded-by-default.md).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
            "PRAGMA cache_size=-32768;PRAGMA temp_store=MEMORY;"  # KiB: indexes of a big table stay in it
            "PRAGMA wal_autocheckpoint=8000;"  # pages: those of indexes, in every batch, are copied less
        ),
    }
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE_SECONDS", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/admin/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns of a folder that is not there
# Served straight from the installed packages: no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True

# Behind a reverse proxy with TLS, set HTTPS=true: secure cookies, HSTS, redirects.
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The admin theme needs eval (Alpine) and inline styles; all else stays on this host
# (docs/adr/0005-admin-theme-and-csp.md).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
}

# --- Canvas ---------------------------------------------------------------------------------
# Keys that encrypt tokens at rest: the first encrypts, all decrypt (rotation).
CANVAS_TOKEN_KEYS = env.list("CANVAS_TOKEN_KEYS", default=[]) or [read_or_make_key(VAR_DIR / "token_key")]
# Requests in flight per token. Canvas's own bucket admits 11; more is slower, not faster.
CANVAS_CONCURRENCY = env.int("CANVAS_CONCURRENCY", default=10)
# Canvas is read in a process of its own, so that reading and writing use two cores; off: in threads.
CANVAS_FETCH_PROCESS = env.bool("CANVAS_FETCH_PROCESS", default=True)
CANVAS_CONNECT_TIMEOUT_SECONDS = env.float("CANVAS_CONNECT_TIMEOUT_SECONDS", default=10.0)
CANVAS_READ_TIMEOUT_SECONDS = env.float("CANVAS_READ_TIMEOUT_SECONDS", default=60.0)
CANVAS_MAX_TRIES = env.int("CANVAS_MAX_TRIES", default=6)
# Plain http and private-network hosts are refused unless listed here (loopback is allowed).
CANVAS_ALLOWED_INSECURE_HOSTS = env.list("CANVAS_ALLOWED_INSECURE_HOSTS", default=[])
CANVAS_BATCH_ROWS = env.int("CANVAS_BATCH_ROWS", default=10_000)
# Incremental cursors look this far back, for rows that were being written when we looked.
CANVAS_CURSOR_OVERLAP_SECONDS = env.int("CANVAS_CURSOR_OVERLAP_SECONDS", default=300)
# A run without a heartbeat for this long is lost, and its lease is free.
SYNC_LEASE_SECONDS = env.int("SYNC_LEASE_SECONDS", default=120)
