"""An OpenID Connect provider on loopback: the code flow with PKCE, and signed identity tokens.

It signs in whoever `claims` describes, without a question, as a provider does for a user whom it
knows already. It refuses what a real one refuses: another client, another address to return to, a
code that was used, a wrong secret or verifier.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "fan", "a secret of the client"


class LoopbackProvider:
    """A running provider.

    Attributes:
        claims: What it says of the user who signs in next.
        forges: Whether it signs tokens with a key that it does not publish.
        refused: Why it refused requests so far.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "1"}
        self.forges = False
        self.refused: list[str] = []
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.other_key = RSAKey.generate_key(2048, {"kid": "one"})
        self.codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(_Handler):
            served = provider

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def secrets_toml(self, port: str = "{port}") -> str:
        """The section [auth] of an application that signs in here."""
        return (
            "[auth]\n"
            f'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "{secrets.token_hex(32)}"\n'
            f'client_id = "{CLIENT}"\n'
            f'client_secret = "{SECRET}"\n'
            f'server_metadata_url = "{self.url}/.well-known/openid-configuration"\n'
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def id_token(self, nonce: str) -> str:
        """A token about `claims`, signed with RS256."""
        now = int(time.time())
        facts = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        key = self.other_key if self.forges else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, facts | self.claims, key)


class _Handler(BaseHTTPRequestHandler):
    served: LoopbackProvider

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Discovery, keys, the sign-in itself, facts about the user, and the end of a session."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        url = self.served.url
        if parts.path == "/.well-known/openid-configuration":
            self._json({
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
                "userinfo_endpoint": f"{url}/userinfo",
                "jwks_uri": f"{url}/jwks",
                "end_session_endpoint": f"{url}/end",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            })  # fmt: skip
        elif parts.path == "/jwks":
            self._json({"keys": [self.served.key.as_dict(private=False)]})
        elif parts.path == "/authorize":
            self._authorize(query)
        elif parts.path == "/userinfo":
            self._json(self.served.claims)
        elif parts.path == "/end":
            self._redirect(query["post_logout_redirect_uri"])
        else:
            self._refuse(f"no such page: {parts.path}")

    def do_POST(self) -> None:
        """A code becomes tokens."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        known = self.served.codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
        if known is None:
            self._refuse("unknown code")
        elif self._client(form) != (CLIENT, SECRET):
            self._refuse("wrong client")
        elif form.get("redirect_uri") != known["redirect_uri"]:
            self._refuse("another address to return to")
        elif challenge.decode() != known["code_challenge"]:
            self._refuse("wrong verifier")
        else:
            token = self.served.id_token(known["nonce"])
            self._json({
                "access_token": secrets.token_hex(8),
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": token,
            })  # fmt: skip

    def _authorize(self, query: dict[str, str]) -> None:
        needed = {"client_id", "redirect_uri", "state", "nonce", "code_challenge"}
        if needed - query.keys() or query["client_id"] != CLIENT:
            self._refuse(f"missing: {needed - query.keys()}")
            return
        if query["response_type"] != "code" or "openid" not in query["scope"].split():
            self._refuse("no code flow")
            return
        code = secrets.token_hex(8)
        self.served.codes[code] = query
        self._redirect(
            f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        )

    def _client(self, form: dict[str, str]) -> tuple[str, str]:
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(text).decode().partition(":")
            return name, secret
        return form.get("client_id", ""), form.get("client_secret", "")

    def _refuse(self, reason: str) -> None:
        self.served.refused.append(reason)
        self._json({"error": "invalid_request", "error_description": reason}, status=400)

    def _json(self, facts: dict[str, Any], *, status: int = 200) -> None:
        body = json.dumps(facts).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, url: str) -> None:
        self.send_response(302)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()
