import http.server
import socket
import threading

import pytest

from accounts.errors import OutboundRefused
from accounts.outbound import Target, outbound_post, outbound_target

HOSTS = ["hooks.example.org", ".chat.example"]


def at(*addresses):
    return lambda host, port: list(addresses)


def test_a_listed_host_with_a_public_address_is_pinned_to_it():
    """SEC-41: the connection goes where the judged address is, whatever the name says later."""
    target = outbound_target(
        "https://hooks.example.org/a?b=1", allowed_hosts=HOSTS, lookup=at("93.184.216.34")
    )
    assert target == Target("hooks.example.org", 443, "/a?b=1", "93.184.216.34")
    below = "https://eu.chat.example/x"
    assert outbound_target(below, allowed_hosts=HOSTS, lookup=at("93.184.216.34")).ip


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.5",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_no_name_leads_to_ourselves_or_our_neighbours(address):
    """SEC-41: loopback, private, metadata and friends, also as one of several addresses."""
    for found in ([address], ["93.184.216.34", address]):
        with pytest.raises(OutboundRefused, match="allowed: public addresses"):
            outbound_target("https://hooks.example.org/", allowed_hosts=HOSTS, lookup=at(*found))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://hooks.example.org/", "scheme was 'http'"),
        ("file:///etc/passwd", "scheme was 'file'"),
        ("gopher://hooks.example.org/", "scheme was 'gopher'"),
        ("https://hooks.example.org:22/", "port was 22"),
        ("https://hooks.example.org@evil.test/", "held a name or password"),
        ("https://evil.test/", "host was 'evil.test'"),
        ("https://hooks.example.org.evil.test/", "host was 'hooks.example.org.evil.test'"),
        ("https://xchat.example/", "host was 'xchat.example'"),
        ("https://2130706433/", "host was '2130706433'"),
        ("https://[::1/", "was not one"),
        ("https://hooks.example.org:99999/", "was not one"),
        ("", "scheme was ''"),
    ],
)
def test_addresses_that_are_not_listed_https_are_refused(url, complaint):
    """SEC-41"""
    with pytest.raises(OutboundRefused, match=complaint):
        outbound_target(url, allowed_hosts=HOSTS, lookup=at("93.184.216.34"))


def test_a_name_is_looked_up_once_so_that_it_cannot_answer_differently_later(monkeypatch):
    """SEC-41: DNS rebinding. The first answer is public, each later one is loopback."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    target = outbound_target(
        "https://hooks.example.org/", allowed_hosts=HOSTS, lookup=lambda *_: next(answers)
    )
    reached = []

    def connect(address, timeout):
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("accounts.outbound.socket.create_connection", connect)
    with pytest.raises(ConnectionRefusedError):
        outbound_post(target, b"{}")
    assert reached == [("93.184.216.34", 443)]


def test_a_host_without_an_address_is_refused():
    with pytest.raises(OutboundRefused, match="has no address"):
        outbound_target("https://hooks.example.org/", allowed_hosts=HOSTS, lookup=at())


class _Redirects(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_POST(self):
        self.asked.append(self.path)
        self.send_response(307)
        self.send_header("Location", "http://127.0.0.1/latest/meta-data")
        self.end_headers()

    def log_message(self, *args):
        return None


def test_a_redirect_is_an_answer_and_not_followed(monkeypatch):
    """SEC-41: no redirects. TLS is left out here, the connection is a plain one to a stub."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]

    def plain(self):
        self.sock = socket.create_connection(("127.0.0.1", port), 5)

    monkeypatch.setattr("accounts.outbound._Pinned.connect", plain)
    try:
        answer = outbound_post(Target("hooks.example.org", 443, "/hook", "93.184.216.34"), b"{}")
    finally:
        server.shutdown()
        server.server_close()
    assert answer.status == 307
    assert _Redirects.asked == ["/hook"]
