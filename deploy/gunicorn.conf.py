"""How gunicorn serves the console: `gunicorn -c deploy/gunicorn.conf.py config.wsgi`."""

from __future__ import annotations

import os

# A reverse proxy with TLS stands in front and sets X-Forwarded-Proto (docs/operating.md).
bind = os.environ.get("BIND", "127.0.0.1:8000")
# Pages wait for the database, so threads serve them; one process per core at most two is plenty.
workers = int(os.environ.get("WEB_PROCESSES", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
# Connecting a Canvas waits for that Canvas: several requests of at most a minute each.
timeout = 180
graceful_timeout = 30
keepalive = 5
# Threads and database connections are made anew now and then, not all processes at once.
max_requests = 10_000
max_requests_jitter = 1_000
accesslog = "-"
errorlog = "-"
# No query strings in the log: searches hold people's names.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
control_socket_disable = True
