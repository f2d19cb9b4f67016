"""The least authentication there can be: a bearer token that is compared."""

from types import SimpleNamespace


def let_in(get_response):
    def middleware(request):
        if request.headers.get("Authorization") == "Bearer none":
            request.user = SimpleNamespace(is_authenticated=True, is_anonymous=False)
        return get_response(request)

    return middleware
