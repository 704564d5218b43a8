"""The one settings module: every difference between installations is an environment variable.

Each variable is listed in `.env.example` with its default; `docs/configuration.md` explains them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from config.console import UNFOLD as UNFOLD
from config.keys import read_or_make_key
from config.redis_child import private_redis_url
from easel.environment import BASE_DIR, VAR_DIR, env
from easel.environment import CANVAS_SYNC_LOG_DIR as CANVAS_SYNC_LOG_DIR
from easel.events import LOGGER_PREFIX, LOGS

VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_make_key(VAR_DIR / "secret_key", size=48)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin.apps.SimpleAdminConfig",  # config.urls loads the pages: a sync needs none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "django_celery_beat",
    "canvas",
    "syncmetrics",
    "logmonitor",
    "parselogs",
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
    "config.origin.PersonStartsJobs",
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

# Who sends it to /healthz as a bearer token is told how each part does; empty: nobody is.
HEALTH_TOKEN = env.str("HEALTH_TOKEN", default="")
# Prometheus sends it to /metrics as a bearer token; empty: there is no /metrics.
PROMETHEUS_TOKEN = env.str("PROMETHEUS_TOKEN", default="")

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
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]  # load balancers and monitors ask by plain http
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

# --- Logs (docs/logs.md) ---------------------------------------------------------------------
# The five logs of the syncs, each with its rotated files; off: they are not written at all.
CANVAS_SYNC_LOGS = env.bool("CANVAS_SYNC_LOGS", default=True)
# A log is rotated when it is larger than this, and so many rotated files of each are kept.
CANVAS_SYNC_LOG_MEGABYTES = env.float("CANVAS_SYNC_LOG_MEGABYTES", default=20)
CANVAS_SYNC_LOG_FILES = env.int("CANVAS_SYNC_LOG_FILES", default=20)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        # Its own level too: what a log of a run takes may be below it.
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "level": env.str("LOG_LEVEL", default="WARNING"),
        },
        "parse_run": {"class": "parselogs.dispatch.RunLogHandler"},
        **{
            f"sync_{log}": {
                "class": "logmonitor.handler.LogFileHandler",
                "folder": CANVAS_SYNC_LOG_DIR,
                "log": log,
                "rotate_bytes": int(CANVAS_SYNC_LOG_MEGABYTES * 1_000_000),
                "keep": CANVAS_SYNC_LOG_FILES,
            }
            for log in LOGS
        },
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {
        # Every line below this name goes to the log of the parse run at work, if there is one.
        "parselogs": {"handlers": ["parse_run"], "level": "INFO"},
        # Findings and tracebacks: for who may read that run's log, not for who watches Easel's own output.
        "parselogs.run": {"handlers": ["parse_run"], "propagate": False},
        **{
            f"{LOGGER_PREFIX}{log}": {
                "handlers": [f"sync_{log}"] if CANVAS_SYNC_LOGS else [],
                "level": "INFO" if CANVAS_SYNC_LOGS else logging.CRITICAL + 1,
                "propagate": False,  # who runs a sync at a terminal sees its progress, not its logs
            }
            for log in LOGS
        },
    },
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
# A queued run that no worker takes for this long is lost: nobody seems to be there.
SYNC_QUEUE_SECONDS = env.int("SYNC_QUEUE_SECONDS", default=900)
# Runs are kept so long with their counts, steps and reasons; the figures of days stay.
RUN_DAYS = env.int("RUN_DAYS", default=730)

# Each app's own list of what it keeps for how long (syncmetrics/retention.py).
RETENTIONS = ["syncmetrics.retention.RETENTIONS", "logmonitor.transfers.retention.RETENTIONS"]

# What is done with a connection that was just made: functions of it (canvas/connect.py).
WHEN_CONNECTED = ["config.schedules.make_schedules_of"]

# --- Background work (docs/adr/0010-background-work.md) --------------------------------------
# What the job log keeps, and which tasks leave a row there only when they fail (docs/jobs.md).
JOB_LOG_DAYS = env.int("JOB_LOG_DAYS", default=30)
JOB_LOG_ERRORS_ONLY = env.list(
    "JOB_LOG_ERRORS_ONLY",
    default=[
        "canvas.resume_lost_runs",
        "logmonitor.drain_transfers",
        "parselogs.sweep_runs",
        "syncmetrics.close_lost_runs",
        "syncmetrics.tidy_job_log",
        "syncmetrics.watch_incidents",
    ],
)
# Without a Redis of your own, `run_easel` starts a private one, at an address under VAR_DIR.
CELERY_BROKER_URL = env.str("REDIS_URL", default="") or private_redis_url(VAR_DIR)
# Tasks at once. One more than syncs at once, or a long sync holds up what finds lost ones.
CELERY_WORKER_CONCURRENCY = env.int("WORKER_PROCESSES", default=4)
# A task at work for longer is ended; a sync can then be resumed.
TASK_LIMIT_SECONDS = env.int("TASK_LIMIT_SECONDS", default=21_600)
CELERY_TASK_SOFT_TIME_LIMIT = TASK_LIMIT_SECONDS
CELERY_TASK_TIME_LIMIT = TASK_LIMIT_SECONDS + 60
# What a worker held when it was lost is given back by Redis, but never while it may still be at work.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": TASK_LIMIT_SECONDS + 600,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 3,
    "socket_timeout": 10,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its Redis for as long as it takes
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True  # results are rows of ours
CELERY_RESULT_EXPIRES = None
CELERY_TASK_PUBLISH_RETRY = False  # who presses a button is told at once
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "config.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until a schedule changed in the console counts
CELERY_BEAT_SYNC_EVERY = 1  # what was sent is written down at once, so that a killed beat sends it once

# --- Alerts and reports (docs/alerts.md, docs/reports.md) ------------------------------------

# Where people reach the console, for links in messages; empty: messages say where to look instead.
CONSOLE_URL = env.str("CONSOLE_URL", default="").rstrip("/")
# A message to a channel is given up for now when it takes longer.
ALERT_SEND_SECONDS = env.int("ALERT_SEND_SECONDS", default=30)
# Plain http and private-network hosts are refused unless listed here (loopback is allowed).
ALERT_ALLOWED_INSECURE_HOSTS = env.list("ALERT_ALLOWED_INSECURE_HOSTS", default=[])
# Of the requests of a connection's runs of the last hours, more failed than this: an incident.
ALERT_ERROR_RATE_PERCENT = env.float("ALERT_ERROR_RATE_PERCENT", default=10.0)
ALERT_ERROR_RATE_HOURS = env.float("ALERT_ERROR_RATE_HOURS", default=6.0)
INCIDENT_DAYS = env.int("INCIDENT_DAYS", default=730)
# What can go wrong and who finds it: one table of syncmetrics.alerts.kinds.IncidentKind per app.
INCIDENT_KINDS = [
    "syncmetrics.alerts.incidents.KINDS",
    "syncmetrics.jobs.failures.KINDS",
    "canvas.incident_sources.KINDS",
    "logmonitor.incident_sources.KINDS",
    "parselogs.incident_sources.KINDS",
]
# The mail server of reports, such as smtp+tls://user:password@mail.example.edu:587; empty: none is sent.
MAIL_SERVER_SET = bool(env.str("EMAIL_URL", default=""))
vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or "dummymail://"))
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="easel@localhost")

# --- Exports ---------------------------------------------------------------------------------------

# More rows than this are exported by a worker, into a file that is kept for some days.
EXPORT_AT_ONCE_ROWS = env.int("EXPORT_AT_ONCE_ROWS", default=10_000)
EXPORT_DAYS = env.int("EXPORT_DAYS", default=7)

# --- Uploaded files and the logs of their runs (docs/parse-logs.md) ----------------------------------

# Where files and logs are kept: a folder, or a bucket of S3 as soon as one is named.
UPLOADS_FOLDER = Path(env.str("UPLOADS_FOLDER", default="") or VAR_DIR / "uploads")
UPLOADS_S3_BUCKET = env.str("UPLOADS_S3_BUCKET", default="")
_UPLOADS_S3 = {
    "bucket_name": UPLOADS_S3_BUCKET,
    "endpoint_url": env.str("UPLOADS_S3_ENDPOINT_URL", default="") or None,
    "region_name": env.str("UPLOADS_S3_REGION", default="") or None,
    "access_key": env.str("UPLOADS_S3_ACCESS_KEY", default="") or None,  # none: as boto3 finds them
    "secret_key": env.str("UPLOADS_S3_SECRET_KEY", default="") or None,
    "location": env.str("UPLOADS_S3_PREFIX", default=""),
    "path_addressing": env.bool("UPLOADS_S3_PATH_ADDRESSING", default=False),
    "connect_timeout_seconds": env.float("UPLOADS_S3_CONNECT_TIMEOUT_SECONDS", default=5.0),
    "read_timeout_seconds": env.float("UPLOADS_S3_READ_TIMEOUT_SECONDS", default=30.0),
    "tries": env.int("UPLOADS_S3_TRIES", default=3),
    "querystring_expire": 120,  # seconds that a signed link works
    "file_overwrite": True,  # names are never used twice, but by the same content
}
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "uploads": {"BACKEND": "parselogs.storage_s3.UploadsS3Storage", "OPTIONS": _UPLOADS_S3}
    if UPLOADS_S3_BUCKET
    else {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": UPLOADS_FOLDER,
            "allow_overwrite": True,  # as in S3
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}
UPLOAD_MEGABYTES = env.float("UPLOAD_MEGABYTES", default=1024)
# Django's own two handlers, behind one that stops what is larger before it is on the disk.
FILE_UPLOAD_HANDLERS = [
    "parselogs.receiving.LimitHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
# Uploaded files without a run for so long are deleted with their runs and logs; 0: they are kept.
UPLOAD_DAYS = env.int("UPLOAD_DAYS", default=0)
# The log of a run is kept so long, that of a file's last run as long as the file.
PARSE_LOG_DAYS = env.int("PARSE_LOG_DAYS", default=365)
# A longer log keeps its beginning and its end.
PARSE_LOG_MEGABYTES = env.float("PARSE_LOG_MEGABYTES", default=10)
# Findings of one code that the log shows and the database keeps; all of them are in a file beside the log.
PARSE_FINDINGS_PER_CODE = env.int("PARSE_FINDINGS_PER_CODE", default=100)
PARSE_FINDINGS_IN_FILE = env.int("PARSE_FINDINGS_IN_FILE", default=1_000_000)
# How often a running log is copied into storage for hosts that have not its spool; 0: never.
PARSE_LIVE_COPY_SECONDS = env.float("PARSE_LIVE_COPY_SECONDS", default=15.0 if UPLOADS_S3_BUCKET else 0.0)
# Where a log is written until it is stored: on this host's own disk.
PARSE_SPOOL_DIR = Path(env.str("PARSE_SPOOL_DIR", default="") or VAR_DIR / "parse_spool")
# A run without a sign of life for this long is lost; one that no worker took for so long is sent again.
PARSE_LEASE_SECONDS = env.int("PARSE_LEASE_SECONDS", default=120)
PARSE_QUEUE_SECONDS = env.int("PARSE_QUEUE_SECONDS", default=300)
# Downloads are led to S3 by links that work so long, at most 120 s; 0: everything goes through the console.
PARSE_SIGNED_LINK_SECONDS = env.int("PARSE_SIGNED_LINK_SECONDS", default=0)
# Every uploader is told by e-mail how a run ended; off: those who asked for it with their upload.
PARSE_MAIL_UPLOADERS = env.bool("PARSE_MAIL_UPLOADERS", default=False)
# Parsers of your own, as dotted paths; tried before those Easel brings.
PARSELOGS_PARSERS = env.list("PARSELOGS_PARSERS", default=[])
