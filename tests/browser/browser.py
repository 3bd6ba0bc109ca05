"""The status page in Chromium: what loads, what filters, what changes by itself, and who can use it.

Each check opens the page as somebody would. Nothing sleeps for a fixed time: conditions are waited for, with a deadline.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

SCRATCH = pathlib.Path(sys.argv[1]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = SCRATCH.parent / "debug"
AXE = (SCRATCH / "node_modules/axe-core/axe.min.js").read_text()
PATIENCE = 40
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars""".split()
HOSTILE = [
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "&lt;b&gt;'\"`{{ 7 * 7 }}${7*7}",
    "javascript:window.hacked=1",
    "\u202eterces/\u202d\U0001f511",
    "long" * 100,
]


def until(what, holds):
    """Waits until `holds` returns something true, and returns that."""
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Exception):
            if found := holds():
                return found
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.1)


class Account:
    """A simulated account in which things happen when they are told to."""

    def __init__(self, *options):
        command = [BINARIES / "examples/account", "--events", "0", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.holds = json.loads(self.process.stdout.readline())

    def happens(self, **event):
        print(json.dumps(event), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline()).get("id")

    def end(self):
        self.process.kill()
        self.process.wait()


class Daemon:
    """The program over an account, with a page of its own."""

    def __init__(self, account, tables="", port=None, folder=None, sources=""):
        self.folder = folder or tempfile.mkdtemp(dir=SCRATCH)
        self.port = port or free_port()
        config = pathlib.Path(self.folder, "config.toml")
        config.write_text(
            f'state_dir = "{self.folder}/state"\n[poll]\ninterval = "1s"\nrequests_per_second = 2.0\nlateness = "2s"\n'
            f'backfill = "1d"\ninventory = false\nstale_after = "3s"\n{sources}\n[status]\nlisten = "127.0.0.1:{self.port}"\n'
            f'[notify.console]\ntype = "stdout"\n{tables}'
        )
        tomllib.loads(config.read_text())
        environment = {
            "AWS_ENDPOINT_URL": account.holds["url"], "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true", "HOME": self.folder,
        }
        log = open(f"{self.folder}/log", "w")
        command = [BINARIES / "secretwatch", "--config", config]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}/"
        until("the page is there", lambda: fetched(self.url))

    def end(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetched(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


class Browser(webdriver.Chrome):
    def __init__(self, scripts=True, dark=False, width=1280, height=1000):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={tempfile.mkdtemp(dir=SCRATCH)}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        super().__init__(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.size(width, height)
        if dark:
            self.dark()

    def size(self, width, height=1000):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, is_dark=True):
        value = "dark" if is_dark else "light"
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]})

    def texts(self, selector):
        return [element.text for element in self.find_elements(By.CSS_SELECTOR, selector)]

    def text(self, selector):
        return self.find_element(By.CSS_SELECTOR, selector).text

    def js(self, script, *arguments):
        return self.execute_script(script, *arguments)

    def complaints(self):
        return [entry["message"] for entry in self.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def asked(self):
        """The addresses that were asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.get_log("performance")]
        return {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}

    def faults(self, *harmless):
        """What axe finds that is serious, as rule and place."""
        self.js(AXE)
        found = self.execute_async_script("axe.run(document).then(arguments[0], (error) => arguments[0]({ error: String(error) }))")
        grave = [it for it in found["violations"] if it["impact"] in ("serious", "critical")]
        return [(it["id"], it["nodes"][0]["html"][:200]) for it in grave if it["id"] not in harmless]

    def is_too_wide(self):
        return self.js("return document.documentElement.scrollWidth - window.innerWidth")


PASSED, FAILED = [], []


def check(what):
    """A check that is told by name; what goes wrong in it is one failure."""

    def decorate(run):
        try:
            run()
            PASSED.append(what)
        except Exception as error:
            FAILED.append(what)
            print(f"FAILED {what}: {error}", file=sys.stderr)
            if browser := getattr(run, "browser", None) or BROWSERS[-1:]:
                picture = SCRATCH / f"failed-{len(FAILED)}.png"
                with contextlib.suppress(Exception):
                    (browser[-1] if isinstance(browser, list) else browser).save_screenshot(str(picture))
                    print(f"  see {picture}", file=sys.stderr)
        return run

    return decorate


BROWSERS = []


@contextlib.contextmanager
def page(url, **options):
    browser = Browser(**options)
    BROWSERS.append(browser)
    try:
        browser.get(url)
        yield browser
    finally:
        BROWSERS.remove(browser)
        browser.quit()


RULES = """
[[rule]]
name = "read"
severity = "low"
events = ["GetSecretValue"]
secrets = ["prod/*"]
[[rule]]
name = "many"
severity = "high"
events = ["GetSecretValue"]
threshold = 5
window = "1h"
group_by = ["principal"]
"""


def everything():
    account = Account()
    for number in range(60):
        secret = ["prod/db", "prod/api", "test/key"][number % 3]
        account.happens(secret=secret, role=f"apps/app-{number % 4}", denied=number % 10 == 9, ago=60 + 1200 * number)
    daemon = Daemon(account, RULES)
    until("all is read", lambda: len(json.loads(fetched(daemon.url + "api/v1/accesses?limit=1000"))["accesses"]) >= 60)
    until("incidents are open", lambda: json.loads(fetched(daemon.url + "api/v1/incidents"))["incidents"])

    @check("it loads without a complaint and asks nobody else")
    def _():
        with page(daemon.url) as browser:
            assert browser.text("h1").startswith("Watching 1 source, which is fresh"), browser.text("h1")
            assert browser.title.startswith(browser.text("h1"))
            until("it was refreshed", lambda: browser.js("return performance.getEntriesByType('resource').length") >= 3)
            assert browser.complaints() == [], browser.complaints()
            others = {it for it in browser.asked() if not it.startswith((daemon.url, "data:", "chrome"))}
            assert not others, others

    @check("it fits from a telephone to a wide window")
    def _():
        with page(daemon.url) as browser:
            for width in (1600, 1280, 768, 400, 320):
                browser.size(width)
                assert browser.is_too_wide() <= 0, f"{browser.is_too_wide()} px too wide at {width}"

    @check("filters narrow the list and the chart, and stay where they were typed")
    def _():
        with page(daemon.url) as browser:
            for name, value, column, fits in [
                ("secret", "test/*", 2, lambda text: text == "test/key"),
                ("principal", "*app-1", 3, lambda text: text.startswith("app-1/")),
            ]:
                browser.get(daemon.url)
                browser.find_element(By.NAME, name).send_keys(value, Keys.ENTER)
                until("it is filtered", lambda: f"{name}=" in browser.current_url)
                assert browser.find_element(By.NAME, name).get_attribute("value") == value
                cells = browser.texts(f"#access-list td:nth-child({column})")
                assert cells and all(map(fits, cells)), cells
                assert ", filtered" in browser.text("#chart-title"), browser.text("#chart-title")
            browser.get(daemon.url)
            Select(browser.find_element(By.NAME, "outcome")).select_by_visible_text("denied")
            Select(browser.find_element(By.NAME, "rule")).select_by_visible_text("read")
            browser.find_element(By.CSS_SELECTOR, "form button").click()
            until("it is filtered", lambda: "rule=read" in browser.current_url)
            assert set(browser.texts("#access-list td:nth-child(5)")) == {"denied"}
            assert all(it.startswith("prod/") for it in browser.texts("#access-list td:nth-child(2)"))
            assert "threshold: 1 access within 1 minute, for each secret" in browser.text(".legend")
            browser.find_element(By.LINK_TEXT, "Clear").click()
            until("it is clear", lambda: "Clear" not in browser.text("form"))
            browser.get(daemon.url + "?secret=a%5Bb")
            assert "a[b" in browser.text('[role="alert"]'), browser.text('[role="alert"]')

    @check("older and newest lead through all accesses, each once")
    def _():
        with page(daemon.url) as browser:
            seen = []
            while True:
                rows = browser.find_elements(By.CSS_SELECTOR, "#access-list tbody tr")
                seen += [row.get_attribute("title") for row in rows]
                older = browser.find_elements(By.LINK_TEXT, "Older")
                if not older:
                    break
                browser.get(older[0].get_attribute("href"))
            assert len(seen) == len(set(seen)) >= 60, (len(seen), len(set(seen)))
            browser.find_element(By.LINK_TEXT, "Newest").click()
            until("the newest are there", lambda: browser.find_element(By.LINK_TEXT, "Older"))

    @check("an alert shows by itself, and what somebody is at stays")
    def _():
        with page(daemon.url) as browser:
            browser.js("window.marker = 1; document.getElementById('chart-table').open = true")
            browser.find_element(By.NAME, "secret").send_keys("half a wo")
            # The rule "read" has open incidents of its secrets; this one is new.
            account.happens(secret="prod/brand-new", role="apps/thief")
            until("the incident shows", lambda: any("prod/brand-new" in it for it in browser.texts("#incidents li")))
            until("the alert shows", lambda: any("prod/brand-new" in it for it in browser.texts("#alerts td")))
            until("the access shows", lambda: "prod/brand-new" in browser.texts("#access-list td:nth-child(2)"))
            assert browser.js("return window.marker") == 1, "it was loaded anew"
            assert browser.find_element(By.NAME, "secret").get_attribute("value") == "half a wo"
            assert browser.js("return document.getElementById('chart-table').open")
            assert browser.switch_to.active_element.get_attribute("name") == "secret"

    @check("when nobody answers it says so, and when somebody does again")
    def _():
        nonlocal daemon
        with page(daemon.url) as browser:
            daemon.end()
            until("the note shows", lambda: browser.find_element(By.ID, "lost").is_displayed())
            daemon = Daemon(account, RULES, port=daemon.port, folder=daemon.folder)
            until("the note goes", lambda: not browser.find_element(By.ID, "lost").is_displayed())

    @check("the chart is read by pointing and by keys")
    def _():
        with page(daemon.url) as browser:
            plot = browser.find_element(By.CSS_SELECTOR, ".plot")
            plot.send_keys(Keys.END)
            last = until("a bar is read", lambda: browser.text("#readout"))
            assert "half an hour" in last, last
            plot.send_keys(Keys.ARROW_LEFT)
            assert browser.text("#readout") != last
            plot.send_keys(Keys.HOME)
            first = browser.text("#readout")
            bars = browser.find_elements(By.CSS_SELECTOR, ".bar")
            assert len(bars) == 48
            webdriver.ActionChains(browser).move_to_element(bars[24]).perform()
            until("what is pointed at is read", lambda: browser.text("#readout") not in ("", first, last))

    @check("everything can be reached by the keyboard, and it shows where one is")
    def _():
        with page(daemon.url) as browser:
            reached = []
            for _ in range(60):
                browser.switch_to.active_element.send_keys(Keys.TAB)
                at = browser.js(
                    "const it = document.activeElement, style = getComputedStyle(it);"
                    "return [it.tagName, it.name || it.className || it.textContent.slice(0, 20), style.outlineStyle]"
                )
                if at[0] == "BODY":
                    break
                reached.append(at)
            assert all(outline != "none" for _, _, outline in reached), reached
            names = [name for _, name, _ in reached]
            assert names.index("plot") < names.index("secret") < names.index("principal") < names.index("outcome"), names

    @check("without scripts everything is there, and it refreshes")
    def _():
        with page(daemon.url, scripts=False) as browser:
            assert browser.find_elements(By.CSS_SELECTOR, "#access-list tbody tr")
            assert browser.find_elements(By.CSS_SELECTOR, ".bar rect.success")
            source = browser.page_source
            assert re.search(r'<meta http-equiv="refresh" content="30"', source), source[:600]
            browser.find_element(By.NAME, "secret").send_keys("test/*", Keys.ENTER)
            until("it is filtered", lambda: "secret=test" in browser.current_url)
            assert set(browser.texts("#access-list td:nth-child(2)")) == {"test/key"}
            assert not browser.find_element(By.ID, "readout").is_displayed(), "it offers what needs scripts"

    @check("dark where that is wished")
    def _():
        with page(daemon.url, dark=True) as browser:
            shade = lambda: sum(map(int, re.findall(r"\d+", browser.js("return getComputedStyle(document.body).backgroundColor"))[:3]))
            assert shade() < 120, shade()
            browser.dark(False)
            assert shade() > 600, shade()

    @check("it is accessible: light, dark, narrow, filtered, unfolded")
    def _():
        with page(daemon.url) as browser:
            for dark in (False, True):
                browser.dark(dark)
                for width in (1280, 400):
                    browser.size(width)
                    assert browser.faults() == [], (dark, width, browser.faults())
            browser.get(daemon.url + "?rule=many&outcome=success")
            browser.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
            assert browser.faults() == [], browser.faults()
            # What is pale is found, so nothing above is pale.
            browser.js("document.querySelector('h1').style.color = document.body.style.backgroundColor = '#777777'")
            assert "color-contrast" in [rule for rule, _ in browser.faults()]

    @check("a report is accessible and complains of nothing")
    def _():
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            report = f"{folder}/report.html"
            command = [BINARIES / "secretwatch", "--config", f"{daemon.folder}/config.toml", "report", "--format", "html", "-o", report]
            subprocess.run(command, check=True, env={"AWS_REGION": "us-east-1", "HOME": folder})
            with page(f"file://{report}") as browser:
                assert browser.text("h1") == "Accesses to secrets"
                # axe itself is no part of the report, and its policy lets no script in.
                assert browser.complaints() == [], browser.complaints()
                for width in (1280, 400):
                    browser.size(width)
                    assert browser.is_too_wide() <= 0
                for dark in (False, True):
                    browser.dark(dark)
                    assert browser.faults() == [], (dark, browser.faults())

    daemon.end()
    account.end()


def hostile():
    account = Account()
    for number, text in enumerate(HOSTILE):
        account.happens(secret=text, role=f"apps/{text}", session=text, agent=text, ago=60 + number)
    daemon = Daemon(account, RULES.replace('secrets = ["prod/*"]\n', ""))
    until("all is read", lambda: len(json.loads(fetched(daemon.url + "api/v1/accesses"))["accesses"]) >= len(HOSTILE))
    until("incidents are open", lambda: len(json.loads(fetched(daemon.url + "api/v1/incidents"))["incidents"]) >= len(HOSTILE))

    @check("hostile names are text and nothing else")
    def _():
        with page(daemon.url) as browser:
            assert browser.js("return window.hacked") is None
            assert browser.js("return document.images.length + document.querySelectorAll('main script').length") == 0
            shown = browser.text("#access-list")
            for text in HOSTILE[:4]:
                assert text in shown, f"{text} is not shown"
            assert "7 * 7" in shown and "49" not in browser.text("#access-list td:nth-child(2)")
            assert browser.complaints() == [], browser.complaints()
            for width in (1280, 400):
                browser.size(width)
                assert browser.is_too_wide() <= 0, f"{browser.is_too_wide()} px too wide at {width}"
            hrefs = browser.js("return [...document.links].map((it) => it.href)")
            assert all(href.startswith(daemon.url) for href in hrefs), hrefs
            assert browser.faults() == [], browser.faults()

    daemon.end()
    account.end()


def troubled():
    account = Account()
    daemon = Daemon(account, RULES)

    @check("an empty page is accessible and says that there is nothing")
    def _():
        with page(daemon.url) as browser:
            assert "None." in browser.text("#incidents")
            assert browser.faults() == [], browser.faults()

    account.happens(deny_lookups=True)
    until("it is blind", lambda: fetched(daemon.url).count("has not been read through since"))

    @check("a blind one says so first, and why")
    def _():
        with page(daemon.url, dark=True) as browser:
            assert browser.text("h1").startswith("Blind: ") and "does not allow" in browser.text("h1"), browser.text("h1")
            assert "is blind" in browser.text(".objections")
            assert browser.faults() == [], browser.faults()

    daemon.end()
    account.end()


def many():
    account = Account("--quota", "0")
    for number in range(3_000):
        account.happens(secret=f"prod/app-{number % 300}", role=f"apps/app-{number % 40}", ago=30 + 25 * number)
    regions = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1"]
    tables = [
        f'[[account]]\nname = "a{number}"\nrole_arn = "arn:aws:iam::{number}:role/watch"\nregions = {json.dumps(regions)}'
        for number in range(100_000_000_000, 100_000_000_000 + 100)
    ]
    daemon = Daemon(account, RULES, sources="\n".join(tables))

    @check("five hundred sources are one page that loads soon and is not large")
    def _():
        # Each source has a few seconds' worth of the stale_after of this configuration; what matters is the page.
        size = len(fetched(daemon.url))
        assert size < 400_000, f"{size} bytes"
        with page(daemon.url) as browser:
            timing = browser.js("const it = performance.getEntriesByType('navigation')[0]; return it.loadEventEnd - it.startTime")
            assert timing < 5_000, f"{timing} ms"
            assert re.search(r"of 500 fresh", browser.text("#sources-title")), browser.text("#sources-title")
            assert browser.is_too_wide() <= 0
            print(f"  500 sources: {size} bytes, loaded in {timing:.0f} ms")

    daemon.end()
    account.end()


def screenshots():
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    demo = subprocess.Popen([BINARIES / "secretwatch", "demo"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = re.search(r"http://\S+", demo.stdout.readline())[0]
    try:
        with page(url, width=1200, height=900) as browser:
            browser.get(url)
            full = ".bar:has(rect.success)"
            is_calm = lambda: "which is fresh; no incident" in browser.text("h1")
            until("the day is read", lambda: is_calm() and len(browser.find_elements(By.CSS_SELECTOR, full)) > 40)
            browser.save_screenshot(str(folder / "page-light.png"))
            until("the attack", lambda: len(browser.texts("#incidents li")) >= 2)
            until("all of it", lambda: any("in all" in it for it in browser.texts("#alerts td")))
            browser.js("scrollTo(0, 0)")
            browser.save_screenshot(str(folder / "page-attack.png"))
            browser.dark()
            browser.save_screenshot(str(folder / "page-dark.png"))
    finally:
        demo.terminate()
        demo.wait()


if "--screenshots" in sys.argv[2:]:
    screenshots()
else:
    for part in (everything, hostile, troubled, many):
        part()
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(1 if FAILED else 0)
