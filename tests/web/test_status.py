"""GET /status: what an operator sees of a server that is well, and of one that is not."""

import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser

from orchboard.api.readyz import CHECKS
from orchboard.api.recent_posts import RecentPosts
from orchboard.api.request_counters import RequestCounters
from orchboard.config import Settings
from orchboard.runtime.counters import Counters
from orchboard.store.ingest.ingest_counters import IngestCounters
from orchboard.store.spool.sqlite_file import SpoolFile
from orchboard.web import status, status_findings
from tests.serving.test_supervisor import serving, workers_of
from tests.support.console_blocks import ROOT
from tests.support.html_document import Document
from tests.support.samples import ai, transcoding
from tests.support.server import Answer, Client, StartServer
from tests.support.submissions import spooled
from tests.support.waiting import wait_until
from tests.test_database_away import Away
from tests.test_database_away import away as away
from tests.web.test_chromium import LOWEST_CONTRAST, Visit, check_widths
from tests.web.test_chromium import browser as browser

HOSTILE = "\"><script>alert('1')</script>&amp;"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with the page turned on."""
    return replace(settings, status_page=True)


def text_of(answer: Answer) -> str:
    """The text of a page without its tags, spaces folded; cells of tables are apart."""
    assert answer.status == 200, answer.data
    apart = re.sub("</t[hd]>|<span class=.code.>", " ", answer.data.decode())
    return " ".join(unescape(re.sub("<[^>]*>", "", apart)).split())


def shows(client: Client, *texts: str) -> bool:
    """Whether the page contains all texts."""
    text = text_of(client.get("/status"))
    return all(each in text for each in texts)


def commands_of(answer: Answer) -> list[str]:
    """The commands to paste."""
    return [unescape(each) for each in re.findall("<code data-copy>(.*?)</code>", answer.data.decode())]


def test_without_the_setting_there_is_no_such_path_and_no_link(
    settings: Settings, start_server: StartServer
) -> None:
    client = Client(start_server(replace(settings, status_page=False)).url)
    answer = client.request("GET", "/status", headers={"Accept": "text/html"})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"There is no such page" in answer.data
    for path in ("/", "/network", "/methods", "/compare"):
        assert b"/status" not in client.get(path).data


def test_a_server_that_is_well_says_so_in_one_line(client: Client) -> None:
    assert shows(client, "1 thing needs attention", "No results in the last 7 days.")
    for result in (transcoding(), ai()):
        assert client.post_stats(result).data == b"ok"
    wait_until(lambda: shows(client, "All is well"))
    text = text_of(client.get("/status"))
    for fact in (
        "Answers In ",
        "Database PostgreSQL 1",
        "the latest, in the schema public",
        "orchboard 0.",
        "behind; 60 to",
    ):
        assert fact in text
    assert "needs attention" not in text
    assert commands_of(client.get("/status")) == []


def test_the_page_is_not_stored_or_indexed_and_runs_nothing_of_its_own(client: Client) -> None:
    answer = client.get("/status")
    assert (answer.headers["Cache-Control"], answer.headers["X-Robots-Tag"]) == ("no-store", "noindex")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.request("HEAD", "/status").status == 200
    assert client.request("POST", "/status").status == 405


def test_other_pages_link_to_it_also_from_the_cache(client: Client) -> None:
    for path in ("/", "/?job_type=ai", "/network", "/methods", "/orchestrator/0x" + "b" * 40):
        for _ in range(2):
            assert b'<a href="/status">Status of this server</a>' in client.get(path).data, path
    assert client.post_stats(transcoding()).data == b"ok"
    wait_until(lambda: b"<tbody>" in client.get("/").data)
    assert b'<a href="/status">' in client.get("/").data, "computed again"


def test_posts_are_counted_with_the_reason_of_those_that_are_refused(client: Client) -> None:
    assert shows(client, "Accepted 0 Refused 0")
    for _ in range(3):
        assert client.post_stats(transcoding()).data == b"ok"
    for _ in range(2):
        assert client.post_stats(transcoding(), secret="another secret of a tester").status == 403
    assert client.post_stats(transcoding(region="NOWHERE")).status == 400
    assert shows(client, "Accepted 3 Invalid 400 1 Not authenticated 403 2")


def test_counts_are_those_of_the_last_minute_and_hour() -> None:
    counters = Counters.alone()
    requests, ingest = RequestCounters(counters), IngestCounters(counters)
    requests.add(["/api/post_stats"])
    counters.begin()
    now = 1000.0
    posts = RecentPosts(requests, ingest, clock=lambda: now)
    posts.sample()
    for _ in range(1000):  # over an hour: 5 s each, with a refusal in each
        now += 5.0
        requests.of("/api/post_stats").count(403, 0.01)
        posts.sample()
    assert (posts.within(60).seconds, posts.within(60).refused) == (60, {403: 12})
    assert (posts.within(3600).seconds, posts.within(3600).refused) == (3600, {403: 720})
    assert posts.within(3600).accepted == 0
    assert len(posts._samples) < 725, "older ones are dropped"


def test_a_database_that_goes_away_is_named_with_what_to_do_until_it_is_back(away: Away) -> None:
    client = away.client
    assert client.post_stats(transcoding()).data == b"ok"
    wait_until(lambda: shows(client, "PostgreSQL 1"))
    away.stop()
    assert client.post_stats(ai()).data == b"ok"
    wait_until(lambda: shows(client, "No: away since"))
    began_at = time.monotonic()
    answer = client.get("/status")
    assert time.monotonic() - began_at < 9, "DB_TIMEOUT is 10 s"
    text = text_of(answer)
    assert "1 thing needs attention" in text
    assert "The database did not answer. error Run orchboard doctor: it names the cause" in text
    assert "Results go to the spool meanwhile" in text
    assert "Waiting 1 result, the oldest for" in text
    assert "Rollups Not known: the database is away" in text
    assert "Database PostgreSQL 1" in text, "as it was known before"
    assert commands_of(answer) == ["orchboard doctor"]
    away.start()
    wait_until(lambda: shows(client, "All is well", "Waiting 0 results", "ago: the database"))


def test_a_server_that_starts_without_its_database_has_the_page_and_keeps_its_secrets(
    settings: Settings, start_server: StartServer
) -> None:
    gone = replace(
        settings, postgres="postgresql://me:hunter2@127.0.0.1:1/none", secret="hunter3", cron_secret="hunter4"
    )
    client = Client(start_server(gone).url)
    wait_until(lambda: shows(client, "away since"))
    answer = client.get("/status")
    assert "There is no spool: results are refused meanwhile." in text_of(answer)
    for secret in (b"hunter", b"127.0.0.1", b"none:"):
        assert secret not in answer.data


def test_a_server_with_its_database_keeps_its_secrets_too(
    settings: Settings, start_server: StartServer
) -> None:
    [password] = re.findall(":([0-9a-f]{20,})@", settings.postgres)
    documents = "http://me:hunter5@127.0.0.1:1/"
    whole = replace(
        settings, secret="hunter3", cron_secret="hunter4", catalyst_region_url=documents, names_url=documents
    )  # fmt: skip
    client = Client(start_server(whole).url)
    wait_until(lambda: shows(client, "PostgreSQL 1", "Fetch NAMES_URL None yet 1"), 30)
    answer = client.get("/status")
    assert "Background tasks without success: " in text_of(answer)
    for secret in (b"hunter", b"127.0.0.1", password.encode()):
        assert secret not in answer.data


def test_rollups_that_lag_are_named(client: Client, execute: Callable[[str], None]) -> None:
    assert client.post_stats(transcoding()).data == b"ok"

    def lags() -> bool:  # the builder may advance the watermark in between
        execute("SELECT setval('rollup_watermark', extract(epoch FROM now())::bigint - 1230)")
        return shows(
            client, "The rollups are 2", " min behind: answers are right, but long windows are slow."
        )

    wait_until(lags)
    assert {"orchboard doctor", "orchboard rollups verify"} <= set(commands_of(client.get("/status")))


def test_results_after_the_watermark_and_buckets_that_wait_are_counted(
    client: Client, execute: Callable[[str], None]
) -> None:
    for _ in range(3):
        assert client.post_stats(transcoding()).data == b"ok"
    assert shows(client, "Results after it 3")

    def waits() -> bool:
        execute("UPDATE rollup_buckets SET details_revision = NULL WHERE is_materialized")
        return not shows(client, "Details to build 0 buckets")

    execute("INSERT INTO rollup_buckets (granularity, bucket_start, bucket_end, is_materialized, results, revision) "
            "VALUES (4, '2020-01-01 00:00Z', '2020-01-02 00:00Z', TRUE, 0, 1)")  # fmt: skip
    wait_until(waits)


def spool_with(place: Path, *, dead: bool) -> Path:
    """A spool with two results of 2023, of which one may be a dead letter."""
    path = place / "spool" / "s.sqlite"
    file = SpoolFile(path, max_bytes=2**20)
    file.add([spooled(1_700_000_000_000_000, region="FRA", payload=b"{}") for _ in range(2)])
    if dead:
        file.dead_letter([(1, HOSTILE)])
    file.close()
    return path


def test_a_dead_letter_is_named_with_the_commands_for_it(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    settings = replace(settings, orchboard_command="docker exec board orchboard")
    client = Client(start_server(settings, spool_path=spool_with(tmp_path, dead=True)).url)
    wait_until(lambda: shows(client, "Waiting 0 results", "Dead letters 1"))
    assert shows(client, "1 result could not be stored: the database refuses it.")
    commands = {"docker exec board orchboard spool show", "docker exec board orchboard spool retry"}
    assert commands <= set(commands_of(client.get("/status")))


def test_results_that_stay_in_the_spool_are_named_although_the_database_answers(
    settings: Settings, start_server: StartServer, tmp_path: Path, execute: Callable[[str], None]
) -> None:
    execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    client = Client(start_server(settings, spool_path=spool_with(tmp_path, dead=False)).url)
    wait_until(lambda: shows(client, "2 results wait in the spool, the oldest for"))
    assert shows(client, "although the database answers", "Waiting 2 results, the oldest for")
    execute("DROP TRIGGER refuse ON events")
    wait_until(lambda: shows(client, "Waiting 0 results"))


def test_a_spool_that_can_not_be_written_is_an_error(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    spool.parent.write_text("no directory")
    client = Client(start_server(settings, spool_path=spool).url)
    assert shows(client, "The spool can't be written. error", "ORCHBOARD_DATA")


def test_results_that_nobody_took_are_named(settings: Settings, start_server: StartServer) -> None:
    gone = replace(settings, postgres="postgresql://me@127.0.0.1:1/none")
    client = Client(start_server(gone).url)
    assert client.post_stats(transcoding()).status == 503
    assert shows(
        client,
        "1 result of the last hour was refused because the server could not store it",
        "Could not be stored 503 1",
    )


def test_text_of_testers_is_shown_as_text(settings: Settings, start_server: StartServer) -> None:
    client = Client(start_server(replace(settings, orchestrator_names="address")).url)
    assert client.post_stats(transcoding(orchestrator=HOSTILE)).data == b"ok"
    answer = client.get("/status")
    assert "1 results of the last day, from testers with the shared secret, have an orchestrator" in text_of(
        answer
    )
    assert b"<script>alert" not in answer.data
    assert b"&lt;script&gt;alert" in answer.data


def test_the_error_of_a_background_task_is_shown(client: Client, execute: Callable[[str], None]) -> None:
    execute("ALTER TABLE rollup_invalidations RENAME TO elsewhere")
    wait_until(
        lambda: shows(
            client, "Background tasks without success: rollups.", 'relation "rollup_invalidations" does'
        )
    )
    execute("ALTER TABLE elsewhere RENAME TO rollup_invalidations")
    wait_until(lambda: not shows(client, "Background tasks without success"))


def test_all_workers_are_listed_by_any_of_them(browser: Browser, database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, 2, STATUS_PAGE="on") as (program, port):
        client = Client(f"http://127.0.0.1:{port}")
        wait_until(lambda: len(workers_of(program)) == 2)

        def pids() -> list[str]:
            return [row[0].split()[0] for row in Document(client.get("/status")).table("workers")]

        wait_until(lambda: set(map(int, pids())) == workers_of(program))
        assert shows(client, "this worker", "Figures are of all workers")
        assert "another version" not in text_of(client.get("/status"))
        with Visit(browser, client.url) as page:
            check_widths(page, "/status")


def test_every_check_of_readiness_has_a_remedy() -> None:
    assert status_findings._REMEDIES.keys() == CHECKS.keys()


def test_remedies_name_commands_and_paragraphs_that_exist() -> None:
    source = Path(status_findings.__file__).read_text()
    source = re.sub(r'"\n\s*"', "", source)
    operations = (ROOT / "docs/operations.md").read_text()
    paragraphs = re.findall("“(.+?)”", source)
    assert len(paragraphs) >= 5
    for title in paragraphs:
        assert re.search(f"^#+ {re.escape(title)}$", operations, re.MULTILINE), title
    commands = re.findall("`orchboard ([a-z ]+)", source)
    assert {command.split()[0] for command in commands} == {"doctor", "spool", "rollups"}
    for command in commands:
        assert re.search(rf"^\$? ?orchboard {command.strip()}\b|`{command.split()[-1]}[ `\[]|## orchboard {command.strip()}$",
                         (ROOT / "docs/cli.md").read_text(), re.MULTILINE), command  # fmt: skip


def test_thresholds_are_those_of_the_alerts() -> None:
    rules = (ROOT / "contrib/prometheus/orchboard.rules.yml").read_text()
    for name, threshold in (
        ("orchboard_spool_oldest_seconds", status_findings.SPOOL_OLDEST_S),
        ("orchboard_spool_used_ratio", status_findings.SPOOL_USED_RATIO),
        ("orchboard_rollup_watermark_age_seconds", status_findings.WATERMARK_AGE_S),
    ):
        assert f"expr: {name} > {threshold:g}\n" in rules


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_all_text_stands_out(
    browser: Browser, settings: Settings, start_server: StartServer, tmp_path: Path, scheme: str
) -> None:
    settings = replace(settings, orchestrator_names="address", names_url="http://127.0.0.1:1/")
    well = start_server(replace(settings))
    bad = start_server(settings, spool_path=spool_with(tmp_path, dead=True))
    assert Client(bad.url).post_stats(transcoding(orchestrator="W" * 56)).data == b"ok"
    gone = start_server(replace(settings, postgres="postgresql://me@127.0.0.1:1/none"))
    wait_until(lambda: shows(Client(gone.url), "away since"))
    wait_until(lambda: shows(Client(bad.url), "w" * 56, "Dead letters 1"))
    for server in (well, bad, gone):
        with Visit(browser, server.url, color_scheme=scheme) as page:
            check_widths(page, "/status")
            contrast, text = page.evaluate(LOWEST_CONTRAST)
            assert 4.5 <= contrast <= 21, text


def test_an_open_page_is_brought_up_to_date_until_that_is_paused(
    browser: Browser, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "REFRESH_S", 0.5)
    visit = Visit(browser, client.url)
    with visit as page:
        page.goto("/status")
        page.get_by_text("1 thing needs attention").wait_for()
        for result in (transcoding(), ai()):
            assert client.post_stats(result).data == b"ok"
        page.get_by_text("All is well").wait_for()
        page.get_by_role("button", name="Pause updates").click()
        accepted = page.locator(".counts tbody tr").first
        shown = accepted.inner_text()
        assert client.post_stats(transcoding()).data == b"ok"
        page.wait_for_timeout(1500)
        assert accepted.inner_text() == shown
        page.get_by_role("button", name="Resume updates").click()
        page.wait_for_function(
            "shown => document.querySelector('.counts tbody tr').innerText !== shown", arg=shown
        )
    assert visit.complaints == []


def test_a_command_can_be_copied_with_a_button(
    browser: Browser, settings: Settings, start_server: StartServer
) -> None:
    gone = start_server(replace(settings, postgres="postgresql://me@127.0.0.1:1/none"))
    wait_until(lambda: shows(Client(gone.url), "away since"))
    with Visit(browser, gone.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto("/status")
        page.get_by_role("button", name="Copy").first.click()
        assert page.evaluate("navigator.clipboard.readText()") == "orchboard doctor"
