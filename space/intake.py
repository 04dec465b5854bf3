"""What a program sends for an image → the bytes of an image file, or the uploaded file.

Takes an uploaded file, base64 or an address on the internet. Addresses are fetched here and not by
Gradio, which would keep any size in memory: those that lead inside are refused, at every redirect,
and safehttpx connects to no other IP than the one that was looked at.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import safehttpx
from gradio.processing_utils import PUBLIC_HOSTNAME_WHITELIST
from gradio.utils import get_upload_folder

MAX_BYTES = 20_000_000  # of one image, however it comes
FETCH_SECONDS = 10.0  # for one address
REDIRECTS = 5
# What safehttpx takes for public: a provider's own network, and IPv4 wrapped in IPv6.
INSIDE = (ip_network("100.64.0.0/10"), ip_network("2002::/16"))
LOOK_UPS = ThreadPoolExecutor(16)  # of names; nobody waits for one that takes too long
URL_SAFE = str.maketrans("-_", "+/")  # the other alphabet of base64
ADVICE = "Pass an image file, the http(s) address of one, or its bytes as base64."
ADDRESS_ADVICE = "Pass the public http(s) address of an image file, or send the file itself."


class IntakeError(ValueError):
    """What was sent is no image file, nor leads to one; the message says what to pass."""


def receive(sent: Any, deadline: float) -> Path | bytes:
    """Take what a program sent for an image.

    Args:
        sent: A file as Gradio's clients describe it ({"path": …}), or text: an http(s) address,
            base64, or a data URL.
        deadline: Until when to wait for an address, on the clock `time.monotonic`.

    Returns:
        The uploaded file, or an image file's bytes.

    Raises:
        IntakeError: If it is none of these, too large, or cannot be fetched.
    """
    if isinstance(sent, dict):
        path = sent.get("path")
        if isinstance(path, str) and path and not is_address(path):
            return find_upload(path)
    text = text_of(sent)
    if not text:
        raise IntakeError(f"There is no image in this call. {ADVICE}")
    if is_address(text):
        return asyncio.run(fetch(text, min(FETCH_SECONDS, deadline - time.monotonic())))
    return decode(text)


def text_of(sent: Any) -> str:
    """Return the text in what a program sent: an address, or base64; empty if there is none."""
    text = sent.get("path") or sent.get("url") if isinstance(sent, dict) else sent
    return text.strip() if isinstance(text, str) else ""


def is_address(text: str) -> bool:
    """Tell whether a text is to be fetched."""
    return text.lower().startswith(("http://", "https://"))


def find_upload(path: str) -> Path:
    """Return an uploaded file; no other file of this machine is read.

    Raises:
        IntakeError: If it was not uploaded, or is no longer there.
    """
    uploads = Path(get_upload_folder()).resolve()
    try:
        file = Path(path).resolve()
        if file.is_relative_to(uploads) and file.is_file():
            return file
    except (OSError, ValueError):  # a name too long, a loop, a null byte
        pass
    raise IntakeError(
        "This file is not among the uploaded ones. Upload it first, as the clients do with "
        "handle_file, or send it as base64."
    )


def decode(text: str) -> bytes:
    """Decode base64, or a data URL.

    Raises:
        IntakeError: If it is neither.
    """
    data = text.partition(",")[2] if text.lower().startswith("data:") else text
    digits = "".join(data.split()).rstrip("=").translate(URL_SAFE)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise IntakeError(
            "This text is neither an http(s) address nor base64. "
            f"{ADVICE} In gradio_client, a file is handle_file(path)."
        ) from None


async def fetch(url: str, seconds: float) -> bytes:
    """Fetch what lies at a public address.

    Raises:
        IntakeError: If it leads into this machine or its network, is too large, or cannot be had
            in time.
    """
    try:
        async with asyncio.timeout(seconds):
            return await follow(url)
    except TimeoutError:
        problem = "The address did not answer in time."
    except IntakeError:
        raise
    except (httpx.InvalidURL, ValueError):  # ValueError is safehttpx's for a host it refuses
        problem = "The address is none on the public internet."
    except (httpx.HTTPError, OSError):
        problem = "The address cannot be reached."
    raise IntakeError(f"{problem} {ADDRESS_ADVICE}") from None


async def follow(url: str) -> bytes:
    """Fetch an address, or the one that it redirects to."""
    for _ in range(1 + REDIRECTS):
        transport = await open_transport(url)
        # As it is: compressed, few bytes could become many.
        headers = {"Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(transport=transport, headers=headers) as client,
            client.stream("GET", url) as response,
        ):
            if not response.has_redirect_location:
                return await read(response)
            url = str(httpx.URL(url).join(response.headers["Location"]))
    raise IntakeError(f"The address redirects too often. {ADDRESS_ADVICE}")


async def open_transport(url: str) -> httpx.AsyncHTTPTransport:
    """Make a connection's transport, bound to an IP that is public.

    Raises:
        ValueError: If the host has none.
    """
    host = httpx.URL(url).host
    if safehttpx.matches_domain_whitelist(host, PUBLIC_HOSTNAME_WHITELIST):
        return httpx.AsyncHTTPTransport()  # within a Space, the Hub is near
    transport: httpx.AsyncHTTPTransport = safehttpx.AsyncSecureTransport(await look_up(host))
    return transport


async def look_up(host: str) -> str:
    """Return a host's first IP that is public.

    safehttpx asks Google where it finds none, and keeps what it waits for beyond its event loop.

    Raises:
        ValueError: If it has none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(LOOK_UPS, socket.getaddrinfo, host, None)
    except socket.gaierror as error:
        raise ValueError(f"{host} has no address.") from error
    for *_, address in found:
        if is_public(str(address[0])):
            return str(address[0])
    raise ValueError(f"{host} is not on the public internet.")


def is_public(ip: str) -> bool:
    """Tell whether an IP leads out of this machine and its network; one within an IPv6, too."""
    address = ip_address(ip)
    address = getattr(address, "ipv4_mapped", None) or address
    inside = any(address in network for network in INSIDE)
    return not inside and bool(safehttpx.is_public_ip(str(address)))


async def read(response: httpx.Response) -> bytes:
    """Read an answer's body, up to the limit."""
    if response.status_code != httpx.codes.OK:
        raise IntakeError(f"The address answers with HTTP {response.status_code}. {ADDRESS_ADVICE}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise IntakeError(
                f"What lies at the address is larger than {MAX_BYTES // 1_000_000} MB. "
                "Pass a smaller image."
            )
    return bytes(body)
