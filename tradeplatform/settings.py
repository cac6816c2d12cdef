"""Django settings: one file, every knob from the environment, safe defaults for one machine."""

from __future__ import annotations

import warnings
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from tradeplatform import env
from tradeplatform.addresses import database_from, redis_from
from tradeplatform.admin_look import ACCENT
from tradeplatform.version import code_version

BASE_DIR = env.BASE_DIR
ENVIRONMENT = env.environment()
IS_PRODUCTION = ENVIRONMENT == "production"
VAR_DIR = env.var_dir()

DEBUG = env.boolean("DEBUG", False)
if IS_PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG was true, production shows no traces")
SECRET_KEY = env.secret("SECRET_KEY", generated_in=None if IS_PRODUCTION else VAR_DIR)
if IS_PRODUCTION and len(SECRET_KEY) < 50:
    raise ImproperlyConfigured(f"SECRET_KEY had {len(SECRET_KEY)} characters, at least 50 needed")
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
if IS_PRODUCTION and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS was '*', production needs the host names")
if env.text("TRADEPLATFORM_PORT") and "127.0.0.1" not in ALLOWED_HOSTS:
    # supervisor and watchdog ask the web process on loopback, whatever the pages' name is
    ALLOWED_HOSTS.append("127.0.0.1")
# Former keys: what they sealed (second login steps) stays readable until it is sealed anew.
SECRET_KEY_FALLBACKS = env.listing("SECRET_KEY_FALLBACKS", [])
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "unfold",
    # Without its autodiscovery, which urls.py does: workers never serve the admin (-16 MB each).
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_celery_beat",
    "axes",
    "channels",
    "accounts",
    "market",
    "strategies",
    "trades",
    "research",
    "resources",
    "monitoring",
    "notifications",
    "tradeplatform",
]

MIDDLEWARE = [
    "resources.middleware.RequestCounting",
    "accounts.middleware.CallContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.LoginAge",
    "accounts.middleware.PersonalZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tradeplatform.middleware.PageHeaders",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "accounts.backends.CountedTries",
    "django.contrib.auth.backends.ModelBackend",
]

ROOT_URLCONF = "tradeplatform.urls"
ASGI_APPLICATION = "tradeplatform.asgi.application"
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
                "accounts.page_context.person",
                "monitoring.context.strip",
            ],
        },
    }
]

# --- database ---------------------------------------------------------------------------------
DATABASE_URL = env.text("DATABASE_URL", f"sqlite:///{VAR_DIR / 'tradeplatform.sqlite3'}")
_database = database_from(DATABASE_URL)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    if _database["NAME"] != ":memory:":
        env.private_database(Path(_database["NAME"]))
    # IMMEDIATE because a read snapshot cannot be upgraded after another commit: DEFERRED fails
    # at once under two writers. FULL because NORMAL may lose the last commits on power loss.
    _database["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
            "PRAGMA journal_size_limit=67108864;PRAGMA cache_size=-8000"
        ),
    }
else:
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
    _database.setdefault("OPTIONS", {})["options"] = "-c lock_timeout=20000"
    _database["OPTIONS"].setdefault("connect_timeout", 10)
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- redis, celery, channels --------------------------------------------------------------------
# A unix socket of our own, never a fixed port: a port may belong to somebody else's Redis.
REDIS_URL = redis_from(env.text("REDIS_URL", f"unix://{VAR_DIR / 'redis.sock'}"))
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TIMEZONE = "UTC"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# each worker has a queue of its own besides: whoever holds a run's lease is knocked on there
CELERY_WORKER_DIRECT = True
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_DEFAULT_QUEUE = "io"
CELERY_TASK_ROUTES = {
    "trades.tasks.*": {"queue": "trading"},
    # the trading workers alone hold the exchange's keys
    "tradeplatform.tasks.preflight": {"queue": "trading"},
    "optimization.tasks.*": {"queue": "optimization"},
    "research.tasks.*": {"queue": "research"},
    # training never waits in the queue of trading, nor trading behind it
    "strategies.tasks.*": {"queue": "research"},
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": not REDIS_URL.startswith("unix://"),
    "health_check_interval": 25,
    "global_keyprefix": "tp:",
}
CELERY_BEAT_SCHEDULER = "tradeplatform.scheduler:BeatScheduler"


def beat_every(task: str, seconds: float) -> dict[str, object]:
    """Return a knock that expires before the next one, on the queue its room is routed to."""
    queue = CELERY_TASK_ROUTES[f"{task.split('.')[0]}.tasks.*"]["queue"]
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": seconds}}


def daily(task: str) -> dict[str, object]:
    return {"task": task, "schedule": 86_400.0, "options": {"queue": "io", "expires": 3600}}


# A knock carries nothing and may be lost: it expires before the next one (D-34, D-41).
CELERY_BEAT_SCHEDULE = {
    "advance due runs": {
        "task": "trades.tasks.advance_due",
        "schedule": 1.0,
        "options": {"queue": "trading", "expires": 1},
    },
    "thin old holds": {
        "task": "trades.tasks.thin_holds",
        "schedule": 900.0,
        "options": {"queue": "io", "expires": 600},
    },
    "check the invariants": {
        "task": "tradeplatform.tasks.check_invariants",
        "schedule": 600.0,
        "options": {"queue": "io", "expires": 300},
    },
    "heartbeat of the trading worker": {
        "task": "tradeplatform.tasks.heartbeat_trading",
        "schedule": 10.0,
        "options": {"queue": "trading", "expires": 10},
    },
    "heartbeat of the general worker": {
        "task": "tradeplatform.tasks.heartbeat_general",
        "schedule": 10.0,
        "options": {"queue": "io", "expires": 10},
    },
    "write down the audit's head": daily("accounts.tasks.audit_head_export"),
    "delete what is past its days": daily("tradeplatform.tasks.retention_due"),
    "start replays that wait": beat_every("research.tasks.replays_due", 3.0),
    "start sweeps that wait": beat_every("research.tasks.sweeps_due", 5.0),
    "judge yesterday": beat_every("research.tasks.parity_due", 600.0),
    "train what is due": {
        "task": "strategies.tasks.train_due",
        "schedule": 15.0,
        "options": {"queue": "research", "expires": 10},
    },
    "look at trials of models": {
        "task": "strategies.tasks.trials_due",
        "schedule": 30.0,
        "options": {"queue": "research", "expires": 25},
    },
    "say when the controls want a review": {
        "task": "tradeplatform.tasks.self_assessment_due",
        "schedule": 3600.0,
        "options": {"queue": "io", "expires": 600},
    },
    "bound the stored scores": {
        "task": "strategies.tasks.scores_due",
        "schedule": 3600.0,
        "options": {"queue": "research", "expires": 600},
    },
    "maintenance that is due": {
        "task": "resources.tasks.maintenance_due",
        "schedule": 30.0,
        "options": {"queue": "io", "expires": 25},
    },
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 600_000  # KiB

# whitenoise streams small static files synchronously; under ASGI Django says so for each of them
warnings.filterwarnings(
    "ignore", message="StreamingHttpResponse must consume synchronous iterators"
)

# --- web ------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "monitoring.staticfinders.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_IDLE_SECONDS = 1800
# Whether staff must log in with a second step; anybody may.
TOTP_REQUIRED = env.boolean("TRADEPLATFORM_TOTP_REQUIRED", IS_PRODUCTION)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Whether a request came over TLS is believed from X-Forwarded-Proto only on request: without a
# proxy in front that sets or strips that header, any client could claim it (SEC-5).
TRUSTED_PROXY = env.boolean("TRADEPLATFORM_TRUSTED_PROXY", False)
if TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if IS_PRODUCTION:
    SECURE_SSL_REDIRECT = True
    # The supervisor asks on loopback without TLS; the answer names nothing (SEC-50).
    SECURE_REDIRECT_EXEMPT = [r"^api/v1/health$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # failed logins stand in the audit log
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = ["tradeplatform.formats"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.problems.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    # the peer's address counts; what a client writes into X-Forwarded-For does not (SEC-22)
    "NUM_PROXIES": 0,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tradeplatform API",
    "VERSION": "1.0.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "StateEnum": [(s, s) for s in ("ACTIVE", "REDUCING", "HALTED")],
        "SweepStatusEnum": "research.models.SweepStatus",
    },
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}

UNFOLD = {
    "SITE_TITLE": "Tradeplatform",
    "SITE_HEADER": "Tradeplatform",
    "SITE_ICON": "tradeplatform.admin_look.icon",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "tradeplatform.admin_look.icon"}
    ],
    "ENVIRONMENT": "tradeplatform.admin.environment_label",
    "COLORS": {"primary": ACCENT},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "tradeplatform.logging.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "ccxt": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}

# --- ours ----------------------------------------------------------------------------------
CONFIG_FILE = env.config_file()
# Address of the practice exchange; empty where runs trade on a real venue only.
PRACTICE_URL = env.text("TRADEPLATFORM_PRACTICE_URL")
# Without this a live run is refused, whatever the database says.
LIVE_ARMED = env.boolean("TRADEPLATFORM_LIVE_ARMED", False)
# freqtrade's read-only API under /freqtrade/api/v1/, for its client and its page (D-37).
FREQTRADE_API = env.boolean("TRADEPLATFORM_FREQTRADE_API", False)
LEASE_SECONDS = 15
CODE_VERSION = code_version(BASE_DIR)
INSTALLATION_ID = env.installation_id(VAR_DIR)
# The trading loop lives below this room; what it builds sessions with is plugged in by name.
TRADING_SESSION_FACTORY = "tradeplatform.running.running_session"
WORKER_BEAT = "tradeplatform.tasks.worker_beat"
OPTIMIZATION_WATCH = "tradeplatform.watch.LayerWatch"
RESOURCES_LEVERS = "tradeplatform.resource_levers.PlatformLevers"
# What may be emptied when memory is short: ``module:function`` of functools' caches.
RESOURCES_CACHES = ("market.sources.grid:grid_of",)
SLOW_QUERY_MS = 200.0
# Folders whose candle files replays may read.
RESEARCH_DATA_FOLDERS = env.candle_folders(VAR_DIR)
# What the process of a replay may allocate; above it the replay fails and nothing else does.
RESEARCH_MEMORY_MB = 3_000
# Whether sweeps go to research workers where their wish does not say; without one they wait.
SWEEP_WORKERS = env.boolean("TRADEPLATFORM_SWEEP_WORKERS", False)

# --- the optimization layer: without these three lines, and without its folder, the platform trades
# as before (OPT-01)
INSTALLED_APPS.append("optimization")
OPTIMIZATION_WIRING = "optimization.wiring"
CELERY_BEAT_SCHEDULE["optimization updates"] = beat_every("optimization.tasks.update_due", 5.0)
