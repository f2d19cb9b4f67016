"""A Django project of one file around django-scim2; ``BENCH_PORT`` and ``BENCH_DB`` name its PostgreSQL."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import include, path

SECRET_KEY = "benchmark"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Tables are made straight from the models, for people has no migrations and refers to auth.
MIGRATION_MODULES = {"auth": None, "contenttypes": None}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "people"]
MIDDLEWARE = ["people.access.let_in"]
AUTH_USER_MODEL = "people.Person"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["BENCH_PORT"],
        "NAME": os.environ["BENCH_DB"],
        "USER": os.environ["BENCH_USER"],
        "CONN_MAX_AGE": None,
    }
}
SCIM_SERVICE_PROVIDER = {
    "NETLOC": "localhost",
    "AUTHENTICATION_SCHEMES": [{"type": "oauthbearertoken", "name": "token", "description": "token"}],
    "GROUP_MODEL": "people.models.Group",
    "USER_ADAPTER": "people.adapters.Person",
    "GROUP_ADAPTER": "people.adapters.Group",
}
urlpatterns = [path("scim/v2/", include("django_scim.urls", namespace="scim"))]
application = get_wsgi_application()
