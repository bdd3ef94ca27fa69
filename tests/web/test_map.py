"""The map of regions: the projection, the places of dots and labels, and what the pages draw."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from playwright.sync_api import Browser

from orchboard.config import Settings, read_settings
from orchboard.coordinates import Coordinates, default_coordinates, read_coordinates
from orchboard.errors import BadInputError, SetupError
from orchboard.web.marks import MOST_ARRANGED, NARROWEST, NEAREST, Dot, place_labels, spread
from orchboard.web.projection import CENTRAL_MERIDIAN, HEIGHT, WIDTH, equal_earth, position
from orchboard.web.region_map import Entry, RegionMap, lay_out
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client, StartServer
from tests.web.pages import HOSTILE
from tests.web.test_chromium import Visit, check_widths
from tests.web.test_chromium import browser as browser

OWN = f"/orchestrator/{ORCHESTRATOR}"


def marks(answer: Answer) -> dict[str, dict[str, str]]:
    """What the map of a page has of each region, by name and code: its link, class, radius and text of the title and label."""
    assert answer.status == 200, answer.data
    found = {}
    for mark in re.findall(
        r'<svg class="mark"[^>]*><a href="([^"]*)"><title>([^<]*)</title>\s*<circle class="dot ([^"]*)" r="([^"]*)"/>(.*?)</a></svg>',
        answer.data.decode(),
        re.DOTALL,
    ):
        link, title, kind, radius, rest = mark
        label = re.search(r'<text class="label"[^>]*>(.*?)</text>', rest)
        name, _, said = unescape(title).partition(": ")
        found[name] = {
            "link": unescape(link),
            "kind": kind,
            "radius": radius,
            "said": said,
            "label": unescape(re.sub("<[^>]*>", "", label[1])) if label else "",
        }
    return found


# --- the projection


def test_points_are_where_the_publications_software_puts_them() -> None:
    # Equal Earth on a sphere of 6,378,137 m, in metres: the equator's end by PROJ's own tests, the pole by its constant.
    assert equal_earth(0, 180)[0] * 6_378_137 == pytest.approx(17_263_256.84, abs=0.01)
    assert equal_earth(90, 0) == pytest.approx((0.0, 1.3173627591574))
    assert equal_earth(0, 0) == (0.0, 0.0)


@given(st.floats(-85, 85), st.floats(-175, 175))
def test_areas_are_those_of_the_sphere(latitude: float, longitude: float) -> None:
    step = 1e-4
    (west, east), (south, north) = (
        [equal_earth(latitude, longitude + sign * step) for sign in (-1, 1)],
        [equal_earth(latitude + sign * step, longitude) for sign in (-1, 1)],
    )
    across = (east[0] - west[0], east[1] - west[1])
    up = (north[0] - south[0], north[1] - south[1])
    area = across[0] * up[1] - across[1] * up[0]
    assert area == pytest.approx(math.radians(2 * step) ** 2 * math.cos(math.radians(latitude)), rel=1e-4)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_is_inside_the_map_or_not_on_it(latitude: float, longitude: float) -> None:
    found = position(Coordinates(latitude, longitude))
    if found is None:
        assert latitude > 83 or latitude < -56
    else:
        assert 0 <= found[0] <= WIDTH
        assert 0 <= found[1] <= HEIGHT


def test_the_antimeridian_is_one_place_and_the_edges_are_169_degrees_west() -> None:
    assert position(Coordinates(-18, 180)) == position(Coordinates(-18, -180))
    fiji, samoa = position(Coordinates(-18, 179)), position(Coordinates(-18, -179))
    assert fiji and samoa
    assert 0 < samoa[0] - fiji[0] < 10
    west, east = (position(Coordinates(0, CENTRAL_MERIDIAN - 180 + turn)) for turn in (0.01, -0.01))
    assert west and east
    assert west[0] == pytest.approx(0, abs=0.1)
    assert east[0] == pytest.approx(WIDTH, abs=0.1)


# --- dots and labels


def of_all(text: str = "0.998") -> RegionMap:
    """A map of the regions of a new database, all with results."""
    places = default_coordinates()
    return lay_out([Entry(code, code, "level-4", 5, text, code, "/") for code in places], places)


def test_regions_are_in_their_order_on_the_earth() -> None:
    at = {mark.code: (float(mark.x[:-1]), float(mark.y[:-1])) for mark in of_all().marks}
    assert (
        at["LAX"][0] < at["MDW"][0] < at["NYC"][0] < at["LON"][0] < at["FRA"][0] < at["HND"][0] < at["SYD"][0]
    )
    assert at["STO"][1] < at["FRA"][1] < at["MAD"][1] < at["SIN"][1] < at["SAO"][1] < at["SYD"][1]


def test_no_dot_is_nearer_to_another_than_the_minimum_even_of_the_same_city() -> None:
    points = spread(((0.5, 0.2), (0.5, 0.2), (0.1, 0.1)))
    assert math.dist(points[0], points[1]) * NARROWEST == pytest.approx(NEAREST, abs=0.02)
    assert points[2] == (0.1, 0.1)


def test_every_region_of_a_new_database_has_a_label() -> None:
    for text in ("0.998", ""):
        assert [mark.code for mark in of_all(text).marks if mark.label is None] == []


def test_a_label_without_room_is_left_out_and_so_are_all_of_too_many_dots() -> None:
    crowd = tuple(Dot(0.5, 0.2, 8.0, 60.0) for _ in range(MOST_ARRANGED))
    labels = place_labels(crowd, 0.433)
    assert len(labels) == MOST_ARRANGED
    assert None in labels
    assert place_labels((*crowd, crowd[0]), 0.433) == [None] * (MOST_ARRANGED + 1)
    assert spread(((0.5, 0.2),) * (MOST_ARRANGED + 1)) == [(0.5, 0.2)] * (MOST_ARRANGED + 1)


def test_a_region_without_coordinates_or_beyond_the_edges_is_in_words() -> None:
    places = {"POLE": Coordinates(-90, 0), "FRA": Coordinates(50, 9)}
    entries = [Entry(code, f"Name of {code}", "level-4", 5, "", "", "/") for code in ("XYZ", "POLE", "FRA")]
    found = lay_out(entries, places)
    assert [mark.code for mark in found.marks] == ["FRA"]
    assert (found.elsewhere, found.more) == (["Name of POLE", "Name of XYZ"], 0)
    many = lay_out([replace(entries[0], code=f"X{number}") for number in range(20)], places)
    assert (len(many.elsewhere), many.more) == (12, 8)


# --- coordinates


def test_every_region_of_a_new_database_but_global_has_coordinates() -> None:
    document = files("orchboard.store.directories").joinpath("regions.csv").read_text("utf-8")
    codes = {line.split(",")[0] for line in document.splitlines()[1:]}
    assert default_coordinates().keys() == codes - {"GLOBAL"}
    assert len(codes) == 22


def test_coordinates_are_read_from_a_document_with_any_further_columns() -> None:
    document = (
        'name, Latitude,ID,longitude\nMunich,48.1,muc,11.6\n\n"Nowhere, at all",,NIL,\nFiji,-18,FIJ,-180\n'
    )
    assert read_coordinates(document) == {
        "MUC": Coordinates(48.1, 11.6),
        "NIL": None,
        "FIJ": Coordinates(-18, -180),
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("MUC,90.1,11", "line 2: latitude must be decimal degrees from -90 to 90, not '90.1'"),
        ("\nMUC,48,11\nFIJ,-18,180.5", "line 4: longitude must be decimal degrees from -180 to 180, not '180.5'"),
        ("MUC,48° N,11", "line 2: latitude must be decimal degrees from -90 to 90, not '48° N'"),
        ("MUC,nan,11", "line 2: latitude must be decimal degrees from -90 to 90, not 'nan'"),
        ("MUC,48,inf", "line 2: longitude must be decimal degrees from -180 to 180, not 'inf'"),
        ("MUC,48,", "line 2: longitude must be decimal degrees from -180 to 180, not ''"),
        ("MUC,48,1" + "0" * 99, "line 2: longitude must be decimal degrees from -180 to 180, not '1" + "0" * 39 + "'"),
        ("MUC,48", "line 2: 2 values, not 3"),
        (",48,11", "line 2: the id is empty"),
        ("MUC,48,11\nmuc,48,12", "line 3: MUC has other coordinates in line 2"),
        ('MUC,"48,11', "line 2: not valid CSV"),
    ],
)  # fmt: skip
def test_a_wrong_coordinate_is_named_with_its_line(rows: str, problem: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(problem)):
        read_coordinates(f"id,latitude,longitude\n{rows}\n")


def test_a_document_without_its_columns_is_refused() -> None:
    for document in ("", "\n\n", "id,lat,lon\nMUC,48,11\n", "MUC,48,11\n"):
        with pytest.raises(BadInputError, match="id,latitude,longitude"):
            read_coordinates(document)


def test_a_file_that_can_not_be_read_stops_the_start_with_its_path_and_line(tmp_path: Path) -> None:
    file = tmp_path / "places.csv"
    for content, problem in (
        (None, "No such file"),
        (b"id,latitude,longitude\nMUC,\xff,1\n", "not"),
        (b"\xef\xbb\xbfid,latitude,longitude\r\nMUC,95,11\r\n", "line 2: latitude must be"),
    ):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SetupError, match="REGION_COORDINATES_FILE") as raised:
            read_settings({"REGION_COORDINATES_FILE": str(file)})
        assert str(file) in str(raised.value)
        assert problem in str(raised.value)
    started = subprocess.run(
        [sys.executable, "-m", "orchboard", "serve", "--generate-secret"],
        env={"REGION_COORDINATES_FILE": str(file), "ORCHBOARD_DATA": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert started.returncode != 0
    assert started.stderr.count("\n") == 1, started.stderr
    assert "line 2: latitude must be decimal degrees from -90 to 90, not '95'" in started.stderr


# --- the pages


@pytest.fixture
def board(client: Client) -> Client:
    """An orchestrator with good and bad scores, unscored results, and results from everywhere."""
    results = [
        *(transcoding(region="FRA", round_trip_time=seconds) for seconds in (0.4, 0.5, 0.9)),
        transcoding(region="MDW", round_trip_time=2.0, success_rate=0.5),
        transcoding(region="SYD", round_trip_time=9.0, success_rate=0.1),
        transcoding(region="FRA", round_trip_time=7.0, orchestrator="0x" + "b" * 40),
        ai(region="LAX", round_trip_time=3.0),
        ai(region="FRA", test_outcome="unscored", unscored_reason="why"),
        transcoding(region="GLOBAL", round_trip_time=1.0),
    ]
    for result in results:
        assert client.post_stats(result).data == b"ok"
    return client


@pytest.mark.parametrize("job_type", ["transcoding", "ai"])
def test_the_map_of_an_orchestrator_has_the_numbers_of_the_api(board: Client, job_type: str) -> None:
    regions = board.get("/api/regions").json()["regions"]
    names = {each["id"]: each["name"] for each in regions if each["type"] == job_type}
    [rating] = board.get(f"/api/orchestrators/{ORCHESTRATOR}", job_type=job_type).json()["scores"]
    found = marks(board.get(OWN, job_type=job_type))
    rated = {row["region"]: row for row in rating["regions"]}
    assert found.keys() == {f"{name} ({code})" for code, name in names.items() if code != "GLOBAL"}
    for code, name in names.items():
        if code == "GLOBAL":
            continue
        mark, row = found[f"{name} ({code})"], rated.get(code)
        if row is None:
            assert (mark["kind"], mark["said"], mark["label"]) == (
                "hollow",
                "no results over the last 24 hours",
                code,
            )
        elif row["score"] is None:
            assert (mark["kind"], mark["said"], mark["label"]) == (
                "unscored",
                "1 unscored result",
                f"{code} –",
            )
        else:
            score = row["score"]
            half = (score["high"] - score["low"]) / 2
            ranking = board.get("/api/leaderboard", job_type=job_type, region=code).json()["orchestrators"]
            [own] = [each for each in ranking if each["orchestrator"] == ORCHESTRATOR]
            number = "1 result" if row["results"] == 1 else f"{row['results']} results"
            median = own["round_trip"] and f"median round trip {own['round_trip']['p50']:.2f} s, "
            assert (median is None) == (code in ("MDW", "SYD")), "no result from there succeeded fully"
            assert mark["said"] == (f"score {score['value']:.3f} ± {half:.3f}, {median or ''}{number}")
            assert mark["label"] == f"{code} {score['value']:.3f}"
    if job_type == "transcoding":
        assert "Not on the map: <bdi>Global</bdi>." in board.get(OWN).data.decode()
        assert float(found["Frankfurt (FRA)"]["radius"]) > float(found["Chicago (MDW)"]["radius"])
        assert {found[name]["kind"] for name in ("Frankfurt (FRA)", "Chicago (MDW)", "Sydney (SYD)")} == {
            "level-4",
            "level-1",
        }


def test_a_dot_leads_to_its_region_and_keeps_the_orchestrator_and_the_other_filters(board: Client) -> None:
    found = marks(board.get(OWN, window="7d"))
    assert found["Frankfurt (FRA)"]["link"] == f"{OWN}?region=FRA&window=7d"
    assert found["Madrid (MAD)"]["link"] == f"{OWN}?region=MAD&window=7d"
    for each in found.values():
        assert board.request("GET", each["link"]).status == 200
    chosen = marks(board.get(OWN, region="FRA"))
    assert chosen["Frankfurt (FRA)"]["kind"] == "level-4"
    assert chosen["Chicago (MDW)"] | {"radius": ""} == {
        "link": f"{OWN}?region=MDW", "kind": "hollow", "radius": "", "said": "not selected", "label": "MDW"}  # fmt: skip
    ai_link = marks(board.get(OWN, pipeline="text-to-image"))["Los Angeles (LAX)"]["link"]
    assert ai_link == f"{OWN}?job_type=ai&region=LAX&pipeline=text-to-image"


def test_the_map_of_the_network_has_the_counts_of_the_api_and_marks_silent_regions(
    board: Client, execute: Callable[[str], None]
) -> None:
    execute(
        "UPDATE events SET event_time = now() - interval '5 days' WHERE region_id IN (SELECT id FROM regions WHERE name = 'SYD')"
    )
    coverage = board.get("/api/coverage", job_type="transcoding").json()
    found = marks(board.get("/network"))
    rows = {row["region"]: row for row in coverage["regions"]}
    assert {name for name, each in found.items() if each["kind"] != "hollow"} == {
        "Frankfurt (FRA)", "Chicago (MDW)", "Sydney (SYD)"}  # fmt: skip
    for name, code in (("Frankfurt (FRA)", "FRA"), ("Chicago (MDW)", "MDW"), ("Sydney (SYD)", "SYD")):
        row = rows[code]
        counts = f"{row['last_week']} result{'' if row['last_week'] == 1 else 's'} in the last 7 days, {row['last_day']} in 24 hours"
        assert found[name]["said"].endswith(counts)
        assert found[name]["link"] == f"/?region={code}"
    assert (found["Sydney (SYD)"]["kind"], found["Sydney (SYD)"]["label"]) == ("silent", "SYD silent 5 d")
    assert found["Sydney (SYD)"]["said"].startswith("silent for 5 d, ")
    assert (found["Chicago (MDW)"]["kind"], found["Chicago (MDW)"]["label"]) == ("on-time", "MDW")
    assert found["Madrid (MAD)"]["said"] == "no results in the last 7 days"
    assert "Not on the map: <bdi>Global</bdi>." in board.get("/network").data.decode()


def test_an_operator_may_place_regions_and_hide_them(
    settings: Settings, start_server: StartServer, execute: Callable[[str], None], tmp_path: Path
) -> None:
    for code, name in (("MUC", "Munich"), ("NIL", "Nowhere")):
        execute(
            f"INSERT INTO regions (name, display_name, job_type_id) SELECT '{code}', '{name}', id FROM job_types"
        )
    file = tmp_path / "places.csv"
    file.write_text("id,latitude,longitude\nmuc,48.1,11.6\nSYD,,\n")
    placed = read_settings({"REGION_COORDINATES_FILE": str(file)}).region_coordinates
    client = Client(start_server(replace(settings, region_coordinates=placed)).url)
    for region in ("MUC", "SYD", "NIL", "FRA"):
        assert client.post_stats(transcoding(region=region)).data == b"ok"
    for path in (OWN, "/network"):
        answer = client.get(path)
        assert {"Munich (MUC)", "Frankfurt (FRA)"} < marks(answer).keys()
        assert not {"Sydney (SYD)", "Nowhere (NIL)"} & marks(answer).keys()
        assert "Not on the map: <bdi>Nowhere</bdi>, <bdi>Sydney</bdi>." in answer.data.decode()


def test_names_of_regions_that_hold_markup_are_text(client: Client, execute: Callable[[str], None]) -> None:
    name = HOSTILE.replace("'", "''")
    execute(f"UPDATE regions SET display_name = '{name}' WHERE name IN ('FRA', 'GLOBAL')")
    for region in ("FRA", "GLOBAL"):
        assert client.post_stats(transcoding(region=region)).data == b"ok"
    for path in (OWN, "/network"):
        answer = client.get(path)
        assert f"{HOSTILE} (FRA)" in marks(answer)
        assert not re.search(rb"<script(?! src=\"/static/)|<[^>]+\son\w+=", answer.data)


def test_without_results_there_is_no_map(client: Client) -> None:
    for path in (OWN, "/network"):
        assert b'class="regions"' not in client.get(path).data


# --- in a browser


def everywhere(client: Client) -> None:
    """Results of one orchestrator from every region."""
    for region in client.get("/api/regions").json()["regions"]:
        if region["type"] == "transcoding":
            assert client.post_stats(transcoding(region=region["id"])).data == b"ok"


BOXES = """selector => [...document.querySelectorAll(selector)].filter(each => each.checkVisibility()).map(each => {
  const box = each.getBoundingClientRect();
  return [each.textContent, box.left, box.top, box.right, box.bottom];
})"""


def overlapping(one: list[Any], other: list[Any]) -> bool:
    return bool(one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4])


def test_no_label_hides_another_or_a_dot_at_any_width(browser: Browser, client: Client) -> None:
    everywhere(client)
    with Visit(browser, client.url) as page:
        for path in (OWN, "/network"):
            page.goto(path)
            for width in (768, 800, 860, 940, 1010, 1100, 1247, 1280, 1920, 2560):
                page.set_viewport_size({"width": width, "height": 900})
                labels, dots = page.evaluate(BOXES, ".map .label"), page.evaluate(BOXES, ".map .dot")
                assert (len(labels), len(dots)) == (21, 21)
                [drawing] = page.evaluate(BOXES, ".map .regions")
                for at, label in enumerate(labels):
                    assert drawing[1] <= label[1] and label[3] <= drawing[3], (width, label)
                    assert drawing[2] <= label[2] and label[4] <= drawing[4], (width, label)
                    for other in labels[at + 1 :]:
                        assert not overlapping(label, other), (path, width, label[0], other[0])


def test_the_map_fits_every_width_and_has_no_labels_on_a_phone(browser: Browser, client: Client) -> None:
    everywhere(client)
    visit = Visit(browser, client.url)
    with visit as page:
        check_widths(page, OWN, "/network")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate(BOXES, ".map .label") == []
        assert len(page.evaluate(BOXES, ".map .dot")) == 21
    assert visit.complaints == []


def test_regions_are_on_the_land_of_the_map(browser: Browser, client: Client) -> None:
    link = re.search(rb'href="(/static/land\.\w+\.svg)"', client.get("/network").data)
    if link is None:
        everywhere(client)
        link = re.search(rb'href="(/static/land\.\w+\.svg)"', client.get("/network").data)
    assert link is not None
    places = {code: position(at) for code, at in default_coordinates().items()}
    with Visit(browser, client.url) as page:
        page.goto(link[1].decode())
        assert (
            page.evaluate("document.documentElement.getAttribute('viewBox')") == f"0 0 {WIDTH:g} {HEIGHT:g}"
        )
        away = page.evaluate(
            """places => {
              const path = document.querySelector('path');
              const isNear = ([x, y]) => [0, 2, 4].some(r => [...Array(16).keys()].some(n => path.isPointInFill(
                new DOMPoint(x + r * Math.cos(n * Math.PI / 8), y + r * Math.sin(n * Math.PI / 8)))));
              return Object.keys(places).filter(code => !isNear(places[code]));
            }""",
            places,
        )
        assert away == [], "further from land than 4 of 1000"
        sea = [position(Coordinates(*each)) for each in ((0, -30), (0, -150), (-30, 80), (35, -45))]
        inside = page.evaluate(
            "places => places.map(([x, y]) => document.querySelector('path').isPointInFill(new DOMPoint(x, y)))",
            sea,
        )
        assert inside == [False] * 4


def test_the_land_follows_light_and_dark(browser: Browser, client: Client) -> None:
    everywhere(client)
    colours = set()
    for scheme in ("light", "dark"):
        with Visit(browser, client.url, color_scheme=scheme) as page:
            page.goto("/network")
            page.wait_for_function("document.querySelector('.map image').getBBox().width > 0")
            colours.add(page.locator(".map .regions").screenshot())
            land = page.request.get(page.locator(".map image").get_attribute("href") or "")
            assert land.headers["cache-control"] == "public, max-age=31536000, immutable"
            page.goto(page.locator(".map image").get_attribute("href") or "")
            colours.add(page.evaluate("getComputedStyle(document.querySelector('path')).fill"))
    assert len(colours) == 4


def test_a_region_can_be_reached_and_opened_with_the_keyboard(browser: Browser, board: Client) -> None:
    with Visit(browser, board.url) as page:
        page.goto(OWN)
        link = page.get_by_role("link", name=re.compile(r"^Frankfurt \(FRA\): score 0\.\d{3} ± "))
        link.focus()
        assert (
            page.evaluate("getComputedStyle(document.activeElement.querySelector('.dot')).strokeWidth")
            == "2.5px"
        )
        page.keyboard.press("Enter")
        page.wait_for_url("**?region=FRA")
