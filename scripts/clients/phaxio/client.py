"""Drives a fax service with the library of Phaxio, as it comes from PyPI.

    client.py http://key:secret@host:port/v2.1/

The service is the example `mock_phaxio`: its head lists the numbers and the calls below `/mock/`. The
library is of v2 of the API, which differs from v2.1 in fields that it leaves out. Exit status 0 only if
all holds.
"""

import base64
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from phaxio import PhaxioApi, swagger_client
from phaxio.swagger_client.rest import ApiException

LIMIT = 15
GOOD, OTHER, BUSY, FAILING, ENDLESS = (
    "+15558675309",
    "+15558675310",
    "+15550000017",
    "+15550000008",
    "+15550000000",
)
ONE = b"%PDF-1.4\n<< /Type /Page >>\n%%EOF\n"
TWO = b"%PDF-1.4\n<< /Type /Page >>\n<< /Type /Page >>\n%%EOF\n"


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
        time.sleep(0.05)
    raise AssertionError(f"no {what}")


def refused(call):
    """The status of a refusal."""
    try:
        call()
    except ApiException as error:
        return error.status
    raise AssertionError("it was not refused")


def books(url):
    with urllib.request.urlopen(f"http://{url.hostname}:{url.port}/mock/books", timeout=LIMIT) as answer:
        return json.load(answer)


def over(api, id, word):
    """The fax, once it is in this state."""

    def look():
        fax = api.Fax.status(id).data
        return fax if fax.status == word else None

    return wait(f"{word} of {id}", look)


def connect(url, secret, folder):
    # Read when the client is made.
    swagger_client.configuration.host = f"http://{url.hostname}:{url.port}/v2.1"
    return PhaxioApi(url.username, secret, file_download_path=folder)


def refusals(api, one):
    check(refused(lambda: api.Fax.send(to="Muster", files=one)) == 422, "a wrong number is refused")
    check(refused(lambda: api.Fax.send(to=GOOD)) == 422, "and a fax of nothing")
    check(refused(lambda: api.Fax.status(1)) == 404, "and an unknown fax")


def faxes(api, one, two):
    lone = api.Fax.send(to=GOOD, files=one, tags_dict={"job": "j-1"})
    check(lone.success and lone.data.id > 0, "a fax is taken")
    done = over(api, lone.data.id, "success")
    check(done.num_pages == 1 and done.direction == "sent", "and arrives with its page")
    check(done.tags == {"job": "j-1"}, "with its tag")
    check(done.recipients[0].phone_number == GOOD, "at its number")

    several = api.Fax.send(
        to=[GOOD, OTHER],
        files=[one, two],
        content_urls=["https://example.com/a"],
        header_text="Header",
        caller_id=None,
        cancel_timeout=5,
        tags_dict={"job": "j-2"},
    )
    done = over(api, several.data.id, "success")
    check(len(done.recipients) == 2, "one fax goes to two numbers")
    by_url = api.Fax.send(to=GOOD, content_urls="https://example.com/a", tags_dict={"job": "j-3"})
    over(api, by_url.data.id, "success")
    check(True, "a fax by URL arrives")
    return [lone.data.id, several.data.id, by_url.data.id]


def failures(api, one):
    ids = []
    for number, job, kind, code in [
        (BUSY, "j-4", "lineError", 17),
        (FAILING, "j-5", "faxError", None),
    ]:
        sent = api.Fax.send(to=number, files=one, tags_dict={"job": job})
        failed = over(api, sent.data.id, "failure").recipients[0]
        check(failed.error_type == kind, f"a fax fails with {kind}")
        check(code is None or failed.error_id == code, "and its code")
        ids.append(sent.data.id)
    return ids


def lists(api, ids):
    found = api.Fax.query_faxes(tags_dict={"job": "j-2"})
    check([fax.id for fax in found.data] == [ids[1]], "a fax is found by its tag")
    found = api.Fax.query_faxes(
        created_after="2026-01-01T00:00:00Z", status="success", phone_number=GOOD, per_page=1, page=2
    )
    check(found.paging.total == 3 and found.paging.page == 2, "faxes are counted")
    check([fax.id for fax in found.data] == [ids[1]], "and listed over pages, newest first")


def changes(api, one, id):
    endless = api.Fax.send(to=ENDLESS, files=one, tags_dict={"job": "j-6"}).data.id
    check(api.Fax.cancel(endless).data.id == endless, "a cancellation is scheduled")
    failed = over(api, endless, "failure")
    check(failed.recipients[0].error_id == 75, "and has its code")
    again = api.Fax.resend(id).data.id
    check(again != id, "a fax is sent again, under another id")
    over(api, again, "success")
    file = Path(api.Fax.get_file(id)).read_bytes()
    check(file == ONE, "the file of a fax comes back")
    check(Path(api.Fax.get_file(id, thumbnail="s")).stat().st_size > 0, "and its first page")
    check(api.Fax.delete_file(id).success, "the file is deleted")
    check(refused(lambda: api.Fax.get_file(id)) in (404, 422), "and gone")
    check(api.Fax.delete(again).success, "a test fax is deleted")
    check(refused(lambda: api.Fax.status(again)) == 404, "and gone")
    return [endless]


def main(url):
    url = urlsplit(url)
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one.pdf"), Path(folder, "two.pdf")
        one.write_bytes(ONE)
        two.write_bytes(TWO)
        one, two = str(one), str(two)
        stranger = connect(url, "wr0ng", folder)
        check(refused(lambda: stranger.Fax.send(to=GOOD, files=one)) == 401, "a wrong secret is refused")
        api = connect(url, url.password, folder)
        refusals(api, one)
        check(books(url) == [], "nothing of that is in the books")
        ids = faxes(api, one, two)
        ids += failures(api, one)
        lists(api, ids)
        ids += changes(api, one, ids[0])
    taken = [book for book in books(url) if book["resent"] is None]
    check([book["id"] for book in taken] == ids, "the books have each fax once")
    check(
        [book["tags"]["job"] for book in taken] == [f"j-{number}" for number in range(1, 7)],
        "under its own tag",
    )
    files = [base64.b64decode(file) for file in taken[1]["files"]]
    check(files == [ONE, TWO] and taken[1]["to"] == [GOOD, OTHER], "with the files and numbers")
    check(taken[2]["content_urls"] == ["https://example.com/a"], "and the URL")
    print("phaxio: all checks hold")


if __name__ == "__main__":
    main(sys.argv[1])
