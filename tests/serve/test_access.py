from __future__ import annotations

import base64
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serve_case import encoded
from starlette.websockets import WebSocketDisconnect

from keyact.serve import ServeSettings, create_app

TOKEN = "correct-horse-battery"
STREAM = "ws://127.0.0.1/v1/stream"
OPEN = ("/", "/web/app.js", "/web/style.css", "/v2/health/live")
CLOSED = ("/v1/models", "/v2", "/v2/models/tiny-action", "/metrics", "/openapi.json")


def client(networks: dict[str, Any], **more: Any) -> TestClient:
    return TestClient(create_app(ServeSettings(**{**networks, **more})), "http://127.0.0.1")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (None, False),
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Basic {TOKEN}", False),
        ("Bearer ", False),
        ("Bearer \xe9\xe9", False),
    ],
)
def test_the_token(networks: dict[str, Any], header: str | None, allowed: bool) -> None:
    with client(networks, token=TOKEN) as guarded:
        headers = {} if header is None else {"authorization": header.encode("latin-1")}
        for path in CLOSED:
            answer = guarded.get(path, headers=headers)  # type: ignore[arg-type]
            assert (answer.status_code == 200) is allowed, path
            if not allowed:
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        for path in OPEN:
            assert guarded.get(path).status_code == 200


def test_the_openapi_document_says_that_a_token_is_needed(networks: dict[str, Any]) -> None:
    with client(networks, token=TOKEN) as guarded:
        headers = {"authorization": f"Bearer {TOKEN}"}
        document = guarded.get("/openapi.json", headers=headers).json()
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert document["paths"]["/v1/predict"]["post"]["security"] == [{"HTTPBearer": []}]


@pytest.mark.parametrize(
    ("protocols", "allowed"),
    [
        ([], False),
        (["keyact.v1"], False),
        (["keyact.v1", "keyact.token." + base64.urlsafe_b64encode(TOKEN.encode()).decode()], True),
        (["keyact.v1", "keyact.token.!!!"], False),
        (["keyact.v1", "keyact.token." + base64.urlsafe_b64encode(b"wrong").decode()], False),
    ],
)
def test_the_token_of_a_stream(
    networks: dict[str, Any], protocols: list[str], allowed: bool
) -> None:
    protocols = [one.rstrip("=") for one in protocols]
    with client(networks, token=TOKEN) as guarded:
        if allowed:
            with guarded.websocket_connect(
                "ws://127.0.0.1/v1/stream", subprotocols=protocols
            ) as socket:
                assert socket.accepted_subprotocol == "keyact.v1"
                socket.send_bytes(encoded())
                assert socket.receive_json()["result"]["people"]
        else:
            with (
                pytest.raises(WebSocketDisconnect) as refused,
                guarded.websocket_connect(STREAM, subprotocols=protocols),
            ):
                pass
            assert refused.value.code == 1008


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "127.0.0.1:8000", 200),
        ({}, "localhost", 200),
        ({}, "LOCALHOST:1", 200),
        ({}, "[::1]:8000", 200),
        ({}, "rebound.example", 421),
        ({}, "127.0.0.1.rebound.example", 421),
        ({"hosts": ("cam.example",)}, "cam.example", 200),
        ({"hosts": ("cam.example",)}, "other.example", 421),
        ({"host": "0.0.0.0", "token": TOKEN}, "any.example", 200),
        ({"host": "0.0.0.0", "allow_anonymous": True}, "any.example", 421),
        ({"host": "0.0.0.0", "allow_anonymous": True}, "192.168.1.5:8000", 200),
        ({"host": "0.0.0.0", "allow_anonymous": True}, "[fe80::1]:8000", 200),
        ({"host": "0.0.0.0", "token": TOKEN, "hosts": ("a.example",)}, "any.example", 421),
    ],
)
def test_names_of_the_server(
    networks: dict[str, Any], settings: dict[str, Any], host: str, status: int
) -> None:
    with client(networks, **settings) as guarded:
        headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
        assert guarded.get("/v1/models", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("origin", "status", "readable"),
    [
        (None, 200, None),
        ("http://127.0.0.1", 200, None),  # its own page
        ("https://127.0.0.1", 200, None),  # behind a proxy that speaks TLS
        ("https://app.example", 200, "https://app.example"),
        ("https://evil.example", 403, None),
        ("http://127.0.0.1:9999", 403, None),
        ("null", 403, None),
    ],
)
def test_pages_of_other_origins(
    networks: dict[str, Any], origin: str | None, status: int, readable: str | None
) -> None:
    with client(networks, origins=("https://app.example",)) as guarded:
        headers = {} if origin is None else {"origin": origin}
        answer = guarded.post("/v1/predict", content=encoded(), headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("access-control-allow-origin") == readable
        if status == 403:
            with (
                pytest.raises(WebSocketDisconnect),
                guarded.websocket_connect(STREAM, headers=headers),
            ):
                pass


def test_preflight(networks: dict[str, Any]) -> None:
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    with client(networks, token=TOKEN, origins=("https://app.example",)) as guarded:
        assert guarded.options("/v1/predict", headers=headers).status_code == 200
        other = guarded.options("/v1/predict", headers=headers | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_every_answer_has_the_security_headers(networks: dict[str, Any]) -> None:
    with client(networks) as guarded:
        for path in ("/", "/web/app.js", "/v1/models", "/no/such/path"):
            headers = guarded.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
