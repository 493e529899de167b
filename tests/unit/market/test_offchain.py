"""The document behind a stranger's uri: asked of the public internet only, within bounds, over real TLS on loopback."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from slotzero.errors import MalformedError, TransportError
from slotzero.market.offchain import MAX_HOPS, OffchainLimits, fetch_offchain, is_public

NEAR = OffchainLimits(may_reach_private=True, max_bytes=4_096, timeout_ms=2_000)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 an address to refuse
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "2001:0:7f00:1::",
        "no address",
    ],
)
def test_address_that_is_not_of_the_public_internet_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111"])
def test_public_address_is_told(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://coin.example/1.json", "only https"),
        ("ipfs://bafy", "only https"),
        ("file:///etc/passwd", "only https"),
        ("", "only https"),
        ("https://", "only https"),
        ("https://user:pass@coin.example/", "carries credentials"),
        ("https://user@coin.example/", "carries credentials"),
        ("https://coin.example:8443/", "its port is 8443"),
        ("https://coin.example:99999/", "cannot be read"),
        ("https://127.0.0.1/", "no address of the public internet"),
        ("https://127.1/", "no address of the public internet"),
        ("https://2130706433/", "no address of the public internet"),
        ("https://[::1]/", "no address of the public internet"),
        ("https://169.254.169.254/latest/meta-data", "no address of the public internet"),
        ("https://coin.example/a b", "too long or holds"),
        ("https://coin.example\\@evil.example/", "too long or holds"),
        ("https://cöin.example/", "too long or holds"),
        ("https://coin.example/" + "x" * 3_000, "too long or holds"),
        ("https://[bad/", "cannot be read"),
    ],
)
async def test_uri_that_is_not_asked_is_refused_without_a_look_up(uri: str, why: str) -> None:
    async def look(host: str, port: int) -> Sequence[str]:
        raise AssertionError((host, port))

    with pytest.raises(MalformedError, match=why):
        await fetch_offchain(uri, look=look)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["fe80::1"]])
async def test_host_with_one_address_of_ours_is_refused(addresses: list[str]) -> None:
    async def look(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("rebind.example", 443)
        return addresses

    with pytest.raises(MalformedError, match="no address of the public internet"):
        await fetch_offchain("https://rebind.example/1.json", look=look)


async def test_host_nobody_knows_is_a_transport_error_without_the_path() -> None:
    async def look(host: str, port: int) -> Sequence[str]:
        raise OSError((host, port))

    with pytest.raises(TransportError) as caught:
        await fetch_offchain("https://gone.example/secret/path", look=look)
    assert "secret" not in str(caught.value)


async def test_look_up_that_never_ends_is_given_up_in_time() -> None:
    async def look(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError((host, port))

    # Waits on wall-clock time: the bound is the thing under test, and 20 ms is all it takes.
    with pytest.raises(TransportError, match="in time"):
        await fetch_offchain("https://slow.example/", OffchainLimits(timeout_ms=20), look=look)


# ---- a host of our own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for coin.test and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on this machine, and TLS needs a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(folder / "key"), "-out", str(folder / "certificate"), "-days", "2"),
            *("-subj", "/CN=coin.test", "-addext", "subjectAltName=DNS:coin.test,DNS:other.test"),
        ],
        check=True,
        capture_output=True,
    )
    whole = folder / "both.pem"
    whole.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return whole


class Host:
    """A web server on loopback that answers as a test says."""

    def __init__(self, certificate: Path) -> None:
        self.tls = ssl.create_default_context(cafile=str(certificate))
        self.port = 0
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        match request.path.split("/")[1]:
            case "good":
                body = {"name": "A\x1b[2J", "symbol": 7, "description": "d" * 900, "image": "https://i.test/1.png"}
                return web.Response(body=msgspec.json.encode(body))
            case "body":
                return web.Response(body=request.query["is"].encode())
            case "big":
                return web.Response(body=b'"' + b"x" * 5_000 + b'"')
            case "deep":
                return web.Response(body=b"[" * 4_000)
            case "packed":
                return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
            case "hop":
                count = int(request.query.get("n", 0))
                to = f"/hop?n={count - 1}" if count else "/good"
                return web.Response(status=302, headers={"Location": to})
            case "away":
                to = request.query["to"].replace("PORT", str(self.port))
                return web.Response(status=307, headers={"Location": to})
            case "slow":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b'{"name"')
                await asyncio.sleep(30)
                return response
        return web.Response(status=404)

    async def look(self, host: str, port: int) -> Sequence[str]:
        del host, port
        return ["127.0.0.1"]

    def uri(self, path: str) -> str:
        return f"https://coin.test:{self.port}{path}"


@pytest_asyncio.fixture
async def host(certificate: Path) -> AsyncIterator[Host]:
    made = Host(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


async def test_document_is_read_and_cleaned(host: Host) -> None:
    found = await fetch_offchain(host.uri("/good"), NEAR, look=host.look, tls=host.tls)
    assert (found.name, found.symbol, found.image) == ("A?[2J", None, "https://i.test/1.png")
    assert found.description is not None
    assert len(found.description) == 400
    assert host.asked == ["/good"]


async def test_redirect_to_the_same_host_is_followed_so_often_and_no_more(host: Host) -> None:
    assert (await fetch_offchain(host.uri(f"/hop?n={MAX_HOPS - 1}"), NEAR, look=host.look, tls=host.tls)).name
    with pytest.raises(MalformedError, match="redirects more than"):
        await fetch_offchain(host.uri(f"/hop?n={MAX_HOPS}"), NEAR, look=host.look, tls=host.tls)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("https://other.test:PORT/good", "another host"),
        ("//other.test:PORT/good", "another host"),
        ("https://coin.test/good", "another host"),
        ("http://coin.test:PORT/good", "only https"),
        ("https://x:y@coin.test:PORT/good", "credentials"),
    ],
)
async def test_redirect_elsewhere_is_refused(host: Host, to: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        await fetch_offchain(host.uri(f"/away?to={to.replace(':', '%3A')}"), NEAR, look=host.look, tls=host.tls)
    assert host.asked == ["/away"]


@pytest.mark.parametrize(
    ("path", "error", "why"),
    [
        ("/missing", TransportError, "HTTP 404"),
        ("/big", MalformedError, "more than 4096 bytes"),
        ("/deep", MalformedError, "no JSON"),
        ("/packed", MalformedError, "compressed"),
        ("/body?is=[1]", MalformedError, "no JSON object but list"),
        ("/body?is={", MalformedError, "no JSON"),
    ],
)
async def test_what_is_no_document_is_refused(host: Host, path: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        await fetch_offchain(host.uri(path), NEAR, look=host.look, tls=host.tls)


async def test_body_that_trickles_is_given_up_in_time(host: Host) -> None:
    # Waits on wall-clock time: the bound is the thing under test.
    limits = msgspec.structs.replace(NEAR, timeout_ms=150)
    with pytest.raises(TransportError, match="in time"):
        await fetch_offchain(host.uri("/slow"), limits, look=host.look, tls=host.tls)


async def test_host_with_a_certificate_nobody_trusts_is_not_read(host: Host) -> None:
    with pytest.raises(TransportError, match="cannot be asked"):
        await fetch_offchain(host.uri("/good"), NEAR, look=host.look)
    assert host.asked == []


async def test_our_own_port_is_refused_without_being_told_otherwise(host: Host) -> None:
    with pytest.raises(MalformedError, match="its port is"):
        await fetch_offchain(host.uri("/good"), look=host.look, tls=host.tls)
