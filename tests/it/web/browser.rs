//! The page in a real browser: by keyboard, in the dark, on a narrow screen, and
//! without a script. Pictures of it are kept in `target/tmp/page`.

use std::path::PathBuf;

use serde_json::json;

use super::Scene;
use crate::support::{Browser, Page, keys, root};

/// Where pictures are kept, for people.
fn picture(name: &str) -> PathBuf {
    let folder = root().join("target/tmp/page");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder.join(format!("{name}.png"))
}

fn shown(browser: &Browser) -> Vec<String> {
    let serials = browser.eval("[...document.querySelectorAll('#table tbody th')].map(of => of.innerText.trim())");
    serde_json::from_value(serials).expect("texts")
}

fn page() -> (Scene, Page) {
    let scene = Scene::applied();
    scene.retags("TEST-BGO-002", "\"><script>document.title='taken'</script>");
    scene.folder.edit("devices/oslo/kiosks.yaml", "displayName: LOBBY-01", "displayName: LOBBY-09\n  suspend: true");
    scene.folder.edit("devices/oslo/laptops.yaml", "groupTag: OSL-LOANER", "groupTag: OSL-SHARED");
    let page = scene.page("");
    (scene, page)
}

#[test]
fn a_person_with_a_keyboard_finds_sorts_and_looks_into_devices() {
    let Some(browser) = Browser::here() else { return };
    let (_scene, page) = page();
    browser.looks(1280, 900, false);
    browser.open(&format!("http://{}/", page.host));
    assert_eq!(browser.eval("document.title"), "contoso · apgit", "no script of others runs");
    assert_eq!(shown(&browser).len(), 10);
    browser.picture(&picture("light"));

    // `/` leads to the field, and what is typed is found at once.
    browser.press("/");
    assert_eq!(browser.eval("document.activeElement.id"), "q");
    browser.press("bgo");
    browser.eventually("document.querySelectorAll('#table tbody tr').length === 3");
    assert_eq!(shown(&browser), ["TEST-BGO-001", "TEST-BGO-002", "TEST-BGO-003"]);
    assert_eq!(browser.eval("document.getElementById('told').textContent"), "1 to 3 of 3 devices, out of 10.");
    assert_eq!(browser.eval("document.activeElement.id"), "q", "whoever types goes on typing");
    assert_eq!(browser.eval("location.search"), "?tenant=contoso&q=bgo", "the address leads here again");
    browser.picture(&picture("found"));

    // Tab to the list, to the button, to the first column, and turn it around.
    browser.press(keys::TAB);
    assert_eq!(browser.eval("document.activeElement.id"), "show");
    browser.press(&[keys::TAB, keys::TAB].concat());
    assert_eq!(browser.eval("document.activeElement.dataset.keep"), "sort-serial");
    browser.press(keys::ENTER);
    browser.eventually("document.querySelector('#table tbody th').innerText.trim() === 'TEST-BGO-003'");
    assert_eq!(browser.eval("document.activeElement.dataset.keep"), "sort-serial", "the focus stays where it was");
    assert_eq!(browser.eval("document.activeElement.closest('th').ariaSort"), "descending");

    // On to what is held there, and into it.
    while browser.eval("document.activeElement.tagName") != "SUMMARY" {
        browser.press(keys::TAB);
    }
    browser.press(keys::ENTER);
    browser.eventually("document.activeElement.parentElement.open");
    let told = browser.eval("document.activeElement.parentElement.innerText");
    let told = told.as_str().unwrap();
    assert!(told.contains("<script>document.title='taken'</script>") && told.contains("“BGO-STD”"), "{told}");
    browser.picture(&picture("opened"));

    // Escape takes the words away again.
    browser.press("/");
    browser.press(keys::ESCAPE);
    browser.eventually("document.querySelectorAll('#table tbody tr').length === 10");
    browser.press(keys::TAB);
    browser.press(keys::DOWN);
    browser.eventually("document.querySelectorAll('#table tbody tr').length < 10");
    assert_eq!(browser.eval("new URLSearchParams(location.search).get('show')"), "open");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn it_can_be_read_in_the_dark_on_a_narrow_screen_and_without_a_script() {
    let Some(browser) = Browser::here() else { return };
    let (_scene, page) = page();
    let url = format!("http://{}/", page.host);
    let is_within = "document.documentElement.scrollWidth <= innerWidth";
    for (name, width, height, is_dark) in [
        ("dark", 1280, 900, true),
        ("narrow", 390, 844, false),
        ("narrow-dark", 390, 844, true),
        ("wide", 1920, 1080, false),
    ] {
        browser.looks(width, height, is_dark);
        browser.open(&url);
        assert_eq!(browser.eval(is_within), true, "{name}: nothing stands out to the side");
        browser.picture(&picture(name));
        browser.eval("document.getElementById('devices').scrollIntoView()");
        browser.picture(&picture(&format!("{name}-devices")));
    }
    // Every text has a contrast of at least 4.5 to its ground (WCAG 2.2, AA).
    for is_dark in [false, true] {
        browser.looks(1280, 900, is_dark);
        browser.open(&url);
        let faint = browser.eval(CONTRAST);
        assert_eq!(faint, json!([]), "dark: {is_dark}");
    }
    browser.tell("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.looks(1280, 900, false);
    browser.open(&format!("{url}?tenant=contoso&q=ksk&sort=-serial"));
    browser.picture(&picture("no-script"));
    browser.tell("Emulation.setScriptExecutionDisabled", json!({"value": false}));
    assert_eq!(shown(&browser), ["TEST-KSK-002", "TEST-KSK-001"]);
    assert_eq!(browser.eval("document.getElementById('hint').hidden"), true, "no key is promised");
}

/// Texts with too little contrast to what is behind them.
const CONTRAST: &str = "(() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (of) => {
        for (; of; of = of.parentElement) {
            const color = channels(getComputedStyle(of).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const wrong = [];
    for (const of of document.querySelectorAll('body *')) {
        const has = [...of.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!has || !of.checkVisibility()) continue;
        const [a, b] = [light(channels(getComputedStyle(of).color)), light(ground(of))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) wrong.push([of.outerHTML.slice(0, 80), contrast]);
    }
    return wrong;
})()";
