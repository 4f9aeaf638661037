"""The web page in a real Chromium, with a fake camera that plays a clip."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from serve_case import encoded, picture, running

from keyact.cli.demo import demo_photo
from keyact.media.image import load_image
from keyact.media.video import iter_frames
from keyact.results import FrameResult

sync_api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
CHROMIUM = os.environ.get("KEYACT_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"no Chromium at {CHROMIUM}; set KEYACT_CHROMIUM"
)
SCREENSHOTS = os.environ.get("KEYACT_SCREENSHOTS")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


def camera(path: Path, frames: list[np.ndarray]) -> Path:
    """What Chromium's fake camera plays again and again."""
    frames = [cv2.resize(frame, (640, 480)) for frame in frames]
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return path


def people() -> list[np.ndarray]:
    """A real clip, three people who exercise; without one, the camera pans over a real photo."""
    shared = Path(os.environ.get("KEYACT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    clip = shared / "data" / "media" / "video" / "exercise.avi"
    if clip.is_file():
        return [image for _, _, image in iter_frames(clip, 2, 40)]
    photo = load_image(demo_photo())
    height, width = photo.shape[:2]
    high = width * 3 // 4
    return [photo[y : y + high] for y in np.linspace(0, (height - high) // 2, 40).astype(int)]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        yield play.chromium


def launch(chromium: Any, shown: Path) -> Any:
    return chromium.launch(
        executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-video-capture={shown}"]
    )


@pytest.fixture(scope="module")
def browser(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    frames = [np.ascontiguousarray(picture(i)[..., ::-1]) for i in range(24)]
    browser = launch(chromium, camera(tmp_path_factory.mktemp("camera") / "c.mjpeg", frames))
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Any, live: str) -> Iterator[Any]:
    """The page of the live server; nothing may be written to its console, nothing be fetched
    from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            trouble.append(asked.url)
            if not asked.url.startswith((live, live.replace("http", "ws"), "blob:", "data:"))
            else None
        ),
    )
    page.trouble = trouble
    page.goto(live)
    page.get_by_text("Ready for a photo").wait_for()
    yield page
    assert trouble == []
    context.close()


def shot(page: Any, name: str) -> None:
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SCREENSHOTS, f"{name}.png")), full_page=True)


def painted(page: Any, canvas: str = "#overlay") -> int:
    """How many pixels of a canvas are not empty."""
    count = page.evaluate(
        """(at) => { const sheet = document.querySelector(at);
        const data = sheet.getContext('2d').getImageData(0, 0, sheet.width, sheet.height).data;
        let count = 0; for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
        return count; }""",
        canvas,
    )
    return int(count)


def upload(page: Any, name: str, kind: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def test_a_photo(page: Any) -> None:
    upload(page, "<b>one</b>.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()
    assert page.locator(".person").count() == 2  # the person, and the photo as a whole
    assert "red" in page.locator(".person h3").first.inner_text()
    assert page.locator(".person meter").first.get_attribute("value") is not None
    assert page.locator("#status b").count() == 0  # a name is text, not HTML
    assert painted(page) > 200
    shot(page, "photo-light")
    for layer in ("boxes", "bones", "labels"):
        page.uncheck(f"#show-{layer}")
    assert painted(page) == 0


def test_a_photo_is_explained(page: Any) -> None:
    upload(page, "one.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()
    for layer in ("boxes", "bones", "labels"):
        page.uncheck(f"#show-{layer}")
    page.get_by_role("button", name="Why").click()
    page.get_by_text("Orange joints").wait_for()
    assert painted(page) > 0
    assert page.locator(".person li").count() > 0
    page.uncheck("#show-joints")
    assert painted(page) == 0


def test_a_photo_that_is_dropped(page: Any) -> None:
    dropped = page.evaluate_handle(
        """(bytes) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'two.png', { type: 'image/png' }));
        return data; }""",
        list(encoded()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.get_by_text("Done: 1 found in two.png").wait_for()


def test_downloads(page: Any) -> None:
    upload(page, "one.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()
    with page.expect_download() as waiting:
        page.click("#save-json")
    assert waiting.value.suggested_filename == "one.json"
    assert json.loads(Path(waiting.value.path()).read_bytes())["people"]
    with page.expect_download() as waiting:
        page.click("#save-annotated")
    assert waiting.value.suggested_filename == "one-annotated.jpg"
    picture = cv2.imread(str(waiting.value.path()))
    assert picture.shape == (96, 128, 3)


def test_a_clip_has_a_timeline(page: Any, clip: Path) -> None:
    page.select_option("#every", "1")
    upload(page, "walk.mp4", "video/mp4", clip.read_bytes())
    page.get_by_text("Done: 24 frames").wait_for()
    assert painted(page, "#timeline") > 1000
    assert "red" in page.locator("#segments li").first.inner_text()
    page.focus("#timeline")
    page.keyboard.press("End")
    assert float(page.get_attribute("#timeline", "aria-valuenow")) > 1
    page.keyboard.press("Home")
    assert float(page.get_attribute("#timeline", "aria-valuenow")) == 0
    assert painted(page) > 200
    shot(page, "clip-light")


def test_the_webcam(page: Any) -> None:
    page.click("#camera")
    page.locator("#figures", has_text=re.compile(r"[1-9][.\d]* frames/s")).wait_for()
    page.locator(".person").first.wait_for()
    assert painted(page) > 200
    shot(page, "webcam-light")
    page.click("#camera")
    page.get_by_text("The webcam is off.").wait_for()
    assert page.evaluate("document.getElementById('video').srcObject.active") is False


def test_a_clip_can_be_stopped(page: Any, clip: Path) -> None:
    page.route("**/v1/predict?*", lambda route: None)  # an answer that never comes
    upload(page, "walk.mp4", "video/mp4", clip.read_bytes())
    page.click("#stop")
    page.get_by_text("Stopped after 0 frames.").wait_for()
    assert page.locator("#progress").is_hidden()
    page.unroute("**/v1/predict?*")
    upload(page, "one.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()


def test_real_people_before_the_webcam(chromium: Any, tmp_path: Path) -> None:
    """The bundled networks, the one for movement among them."""
    with running(log="off") as (where, _):
        browser = launch(chromium, camera(tmp_path / "people.mjpeg", people()))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(where)
        page.get_by_text("penn-tcn looks at movement").wait_for()
        page.click("#camera")
        page.locator("#people", has_text=re.compile("#1.*At this moment:", re.DOTALL)).wait_for()
        assert painted(page) > 200
        names = page.locator("#people dt").all_inner_texts()
        with page.expect_download() as waiting:
            page.click("#save-json")
        result = FrameResult.from_json(Path(waiting.value.path()).read_text("utf-8"))
        shot(page, "people-light")
        page.click("#camera")
        browser.close()
    assert names and not any("_" in name for name in names)
    assert any((one.keypoints[:, 2] > 0.5).sum() >= 5 for one in result.people)


def test_a_bad_file_is_told(page: Any) -> None:
    upload(page, "note.png", "image/png", b"not a photo at all")
    page.locator("#status.bad").wait_for()
    assert "neither a photo" in page.inner_text("#status")
    page.trouble.clear()  # the browser notes the 415 in its console


def test_another_model(page: Any) -> None:
    page.select_option("#model", "other-action")
    upload(page, "one.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()
    assert page.locator(".bars dt").first.inner_text() in ("up", "down")


def test_dark_and_light(page: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    assert page.evaluate(colour) != light
    upload(page, "one.png", "image/png", encoded())
    page.get_by_text("Done: 1 found").wait_for()
    shot(page, "photo-dark")
    page.set_viewport_size({"width": 375, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375  # of a phone
    shot(page, "phone-dark")
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [one for one in seen if one in ("theme", "file", "camera", "every")] == [
        "theme", "file", "camera", "every",
    ]  # fmt: skip
    names = page.evaluate(
        """[...document.querySelectorAll('button, select, input, canvas, video')]
        .filter((one) => one.checkVisibility() && !one.labels?.length && !one.textContent.trim()
          && !one.getAttribute('aria-label') && !one.getAttribute('aria-labelledby'))
        .map((one) => one.id)"""
    )
    assert names == []


def test_scripts_of_others_are_blocked(page: Any) -> None:
    for attempt in (
        "const s = document.createElement('script'); s.src = 'data:,window.hacked=1';"
        "document.body.append(s)",
        "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
        "document.body.setAttribute('onclick', 'window.hacked=1'); document.body.click()",
    ):
        page.evaluate(f"() => {{ try {{ {attempt} }} catch {{ }} }}")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    assert page.trouble  # the browser says what it blocked
    page.trouble.clear()


def test_a_locked_server_asks_for_its_token(browser: Any, networks: dict[str, Any]) -> None:
    token = "correct-horse-battery"
    with running(**networks, token=token) as (where, _):
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(where)
        page.get_by_text("needs its access token").wait_for()
        page.fill("#token", token)
        page.click("#connect")
        page.get_by_text("Ready for a photo").wait_for()
        page.click("#camera")
        page.locator(".person").first.wait_for()
        page.close()
