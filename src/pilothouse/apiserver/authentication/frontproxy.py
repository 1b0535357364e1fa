"""The authenticating proxy: a trusted client certificate that speaks for whom its headers name.

Source: upstream's documentation "Authenticating", authenticating proxy, and the aggregation layer's.
"""

from __future__ import annotations

from urllib.parse import unquote

from pilothouse.api.exchange import Request, UserInfo
from pilothouse.apiserver.authentication.certificates import BadCertificate, Signers, user_of
from pilothouse.apiserver.config import Config


class FrontProxy:
    def __init__(self, config: Config) -> None:
        self._signers = Signers(config.requestheader_client_ca)
        self._names = frozenset(config.requestheader_allowed_names)
        self._user = config.requestheader_username_headers
        self._groups = config.requestheader_group_headers
        self._extra = config.requestheader_extra_headers_prefixes

    def user(self, request: Request) -> UserInfo | None:
        headers = request.headers
        name = next((headers[h] for h in self._user if headers.get(h)), "")
        if not name or not self._trusted(request.peer_certificates):
            return None
        groups = [g for h in self._groups for g in headers.get(h, "").split("\n") if g]
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self._extra:
            for header, value in headers.items():
                if header.startswith(prefix):
                    key = unquote(header.removeprefix(prefix))
                    extra[key] = (*extra.get(key, ()), *value.split("\n"))
        return UserInfo(name.partition("\n")[0], headers.get("x-remote-uid", ""), tuple(groups), extra)

    def _trusted(self, chain: tuple[bytes, ...]) -> bool:
        if not self._signers.signed(chain):
            return False
        if not self._names:
            return True
        try:
            proxy = user_of(chain[0])
        except BadCertificate:
            return False
        return proxy is not None and proxy.name in self._names
