"""Drives an SMS service with the SDK of Sinch, as it comes from PyPI.

    client.py http://plan:token@host:port/

The service is the example `mock_sinch_sms`: its head lists the numbers, the secret and the calls below
`/mock/`. Exit status 0 only if all holds.
"""

import json
import sys
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from sinch import SinchClient

LIMIT = 15
WEBHOOK_SECRET = "webhook-secret"
SENDER = "15550000000"


def check(condition, what):
    assert condition, what
    print(f"ok: {what}")


def wait(what, look):
    """The first true value of `look`."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what}")


class Hook:
    """A customer's web server: keeps headers and bodies as they came."""

    def __init__(self):
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append((dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.requests = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/sms"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Mock:
    """What the vendor's customer cannot see or do."""

    def __init__(self, base):
        self.base = base

    def __call__(self, what, **body):
        data = json.dumps(body).encode() if body or not what.startswith("get ") else None
        request = urllib.request.Request(f"{self.base}/mock/{what.removeprefix('get ')}", data)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.load(answer)


def refused(call):
    """The status and the code of a refusal."""
    try:
        call()
    except Exception as error:
        answer = error.http_response
        return answer.status_code, (answer.body or {}).get("code")
    raise AssertionError("it was not refused")


def with_token(base, plan, token):
    client = SinchClient(service_plan_id=plan, sms_api_token=token, sms_region="us")
    client.configuration.sms_origin_with_service_plan_id = base
    return client.sms


def with_project(base, secret):
    client = SinchClient(
        project_id="mock-project-7d21", key_id="mock-key-19ab", key_secret=secret, sms_region="us"
    )
    client.configuration.auth_origin = base
    client.configuration.sms_origin = base
    return client.sms


def send(sms, to, reference, **more):
    return sms.batches.send_sms(
        to=to, from_=SENDER, body="caf\u00e9 \U0001f4e0", client_reference=reference, **more
    )


def refusals(base, plan, sms):
    check(
        refused(lambda: send(with_token(base, plan, "wr0ng"), ["15551230600"], "r"))[0] == 401,
        "a wrong token is refused",
    )
    status, code = refused(lambda: send(sms, ["Muster"], "r"))
    check((status, code) == (400, "syntax_invalid_parameter_format"), "a wrong number is refused")
    status, code = refused(lambda: send(sms, [], "r"))
    check((status, code) == (400, "syntax_constraint_violation"), "no number is refused")
    check(refused(lambda: sms.batches.get(batch_id="nothing"))[0] == 404, "and an unknown batch")


def messages(sms):
    to = ["+15551230600", "15551230602", "15551230603", "15551230604"]
    batch = send(sms, to, "job-1", delivery_report="none", max_number_of_message_parts=2)
    check(batch.to == [number.lstrip("+") for number in to], "a batch is taken, to four numbers")
    check(batch.canceled is False and batch.client_reference == "job-1", "under our reference")

    def report():
        report = sms.delivery_reports.get(batch_id=batch.id, report_type="full")
        words = {status.recipients[0]: (status.status, status.code) for status in report.statuses}
        return words if words.get(to[1]) == ("Failed", 404) else None

    words = wait("report of the failure", report)
    check(words["15551230600"] == ("Delivered", 0), "one is delivered, one fails with 404")
    check(words["15551230603"] == ("Rejected", 402), "one is rejected with 402")
    check(words["15551230604"] == ("Dispatched", 401), "one stays dispatched")
    one = sms.delivery_reports.get_for_number(batch_id=batch.id, recipient="+15551230600")
    check(one.status == "Delivered" and one.number_of_message_parts == 1, "one can be asked for alone")
    check(one.encoding == "UNICODE", "with its encoding")
    finals = sms.delivery_reports.list(client_reference="job-1").iterator()
    check(len(list(finals)) == 3, "three of them are over")
    got = sms.batches.get(batch_id=batch.id)
    check(got.body == "caf\u00e9 \U0001f4e0", "the text comes back")
    return batch.id


def lists(sms):
    ids = [send(sms, ["15551230600"], f"page-{number}").id for number in range(3)]
    found = sms.batches.list(client_reference="page-1").iterator()
    check([batch.id for batch in found] == [ids[1]], "a batch is found by its reference")
    start = datetime.now(timezone.utc) - timedelta(hours=1)
    found = sms.batches.list(start_date=start, page_size=1, from_=[SENDER]).iterator()
    check([batch.id for batch in found][:3] == ids[::-1], "all are listed over pages, newest first")
    dry = sms.batches.dry_run_sms(
        to=["15551230600"], from_=SENDER, body="a" * 161, per_recipient=True, number_of_recipients=5
    )
    check(dry.number_of_messages == 2, "a dry run counts the parts")
    check(dry.per_recipient[0].encoding == "text", "and tells the encoding")
    return ids


def cancel(sms):
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    batch = send(sms, ["15551230600"], "cancelled", send_at=later)
    check(sms.batches.cancel(batch_id=batch.id).canceled is True, "a batch of later is cancelled")
    report = sms.delivery_reports.get(batch_id=batch.id, report_type="full")
    check(report.statuses == [], "its report is empty")
    return batch.id


def callbacks(sms, mock):
    hook = Hook()
    events = sms.sinch_events(WEBHOOK_SECRET)
    batch = send(
        sms,
        ["15551230600"],
        "hook",
        delivery_report="per_recipient",
        event_destination_target=hook.url,
    )
    wait("two callbacks", lambda: len(hook.requests) == 2)
    told = []
    for headers, body in hook.requests:
        check(events.validate_authentication_header(headers, body), "the SDK takes the signature")
        check(
            not events.validate_authentication_header(headers, body + b" "),
            "and not that of another body",
        )
        event = events.parse_event(body.decode())
        check(event.batch_id == batch.id and event.client_reference == "hook", "it reads the report")
        told.append(event.status)
    check(told == ["Dispatched", "Delivered"], "the states come in their order")

    mock("callback", url=hook.url)
    id = mock("receive", **{"from": "16051234567", "to": SENDER, "body": "hello"})
    wait("callback of the inbound", lambda: len(hook.requests) == 3)
    headers, body = hook.requests[2]
    check(events.validate_authentication_header(headers, body), "an inbound is signed, too")
    event = events.parse_event(body.decode())
    check((event.type, event.id, event.body) == ("mo_text", id, "hello"), "and read")
    check(sms.inbounds.get(inbound_id=id).from_ == "16051234567", "it can be asked for")
    found = sms.inbounds.list(to=[SENDER, "15559999999"], page_size=30).iterator()
    check([message.id for message in found] == [id], "and is listed")
    return batch.id


def tokens(base, secret, mock):
    before = mock("get tokens")
    sms = with_project(base, secret)
    first = send(sms, ["15551230600"], "oauth-1")
    send(sms, ["15551230600"], "oauth-2")
    check(mock("get tokens") - before == 1, "one token serves several requests")
    mock("expire-tokens")
    check(sms.batches.get(batch_id=first.id).id == first.id, "an expired token is noticed")
    check(mock("get tokens") - before == 2, "and replaced")


def main(url):
    url = urlsplit(url)
    base = f"http://{url.hostname}:{url.port}"
    mock = Mock(base)
    sms = with_token(base, url.username, url.password)
    refusals(base, url.username, sms)
    check(mock("get books") == [], "nothing of that is in the books")
    wanted = [messages(sms), *lists(sms), cancel(sms), callbacks(sms, mock)]
    tokens(base, url.password, mock)
    books = mock("get books")
    check([book["id"] for book in books[:-2]] == wanted, "the books have each batch once")
    references = [book["client_reference"] for book in books]
    check(len(set(references)) == len(references) == 8, "under its own reference")
    check(books[0]["body"] == "caf\u00e9 \U0001f4e0" and len(books[0]["to"]) == 4, "as it was sent")
    check([book["canceled"] for book in books].count(True) == 1, "and the cancelled one as such")
    print("sinch: all checks hold")


if __name__ == "__main__":
    main(sys.argv[1])
