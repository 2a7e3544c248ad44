//! The routes, and what goes with every answer: nothing is run that is not ours,
//! nothing is kept, and no other page learns anything.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query as Words, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::board::{Board, Snapshot, Tenant};
use super::document::{Answer, DevicesDocument, ErrorDocument, SiteDocument};
use super::page;
use super::query::{Asked, Query};
use super::table;
use crate::render::json::escaped;

/// Pages that are drawn at a time: whoever asks for more waits, and keeps nobody
/// from what this process is for.
const AT_A_TIME: usize = 2;

/// Scripts and styles are the two files of ours; nothing is sent anywhere, and the
/// page stands in no other's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Whoever is on this machine: any other name in `Host` is that of a page which
    /// has led a browser here.
    Loopback,
    /// Whoever reaches the address: the name is not ours to know.
    Network,
}

#[derive(Clone)]
struct Site {
    board: Board,
    turns: Arc<Semaphore>,
}

/// The routes of the page: `/`, its files, and `/api/`.
pub(crate) fn router(board: Board, door: Door) -> Router {
    let site = Site { board, turns: Arc::new(Semaphore::new(AT_A_TIME)) };
    let file = |kind: &'static str, text: &'static str| get(move || async move { ([(CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/", get(whole))
        .route("/page.css", file("text/css; charset=utf-8", STYLE))
        .route("/page.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/icon.svg", file("image/svg+xml", ICON))
        .route("/api/status", get(status))
        .route("/api/devices", get(devices))
        .with_state(site)
        .layer(from_fn(guarded))
        .layer(from_fn_with_state(door, knocks))
}

/// True for an address that only this machine reaches.
#[must_use]
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Turns away whoever comes by a name that is not this machine's: a page
/// elsewhere can make its own name lead here, and then reads what is here as its
/// own.
async fn knocks(State(door): State<Door>, request: Request, next: Next) -> Response {
    let name = request.headers().get(HOST).and_then(|name| name.to_str().ok());
    let may_enter = door == Door::Network || name.is_some_and(is_this_machine);
    if !may_enter {
        let text = "this page is served to http://localhost and http://127.0.0.1 only\n";
        return protected((StatusCode::MISDIRECTED_REQUEST, text).into_response());
    }
    next.run(request).await
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

async fn guarded(request: Request, next: Next) -> Response {
    protected(next.run(request).await)
}

fn protected(mut response: Response) -> Response {
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Draws where it keeps nobody waiting.
async fn draw<T: Send + 'static>(
    site: &Site,
    work: impl FnOnce(Snapshot) -> T + Send + 'static,
) -> Result<T, StatusCode> {
    let turn = site.turns.clone().acquire_owned().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let snapshot = site.board.look();
    let drawn = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(snapshot)
    });
    drawn.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn whole(State(site): State<Site>, Words(asked): Words<Asked>) -> Result<Response, StatusCode> {
    let (status, text) = draw(&site, move |site| {
        let chosen = chosen(&site, &asked.tenant);
        let status = if chosen.is_none() && !asked.tenant.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let query = Query::of(&asked);
        let drawn = match chosen {
            Some((key, tenant)) if asked.part == "table" => table::draw(key, tenant, &query),
            chosen => page::draw(&site, chosen, &query, Timestamp::now()),
        };
        (status, drawn.into_string())
    })
    .await?;
    Ok((status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// The tenant that was asked for; the only one, where none was.
fn chosen<'s>(site: &'s Snapshot, key: &str) -> Option<(&'s str, &'s Tenant)> {
    let only = site.tenants.first().filter(|_| key.is_empty() && site.tenants.len() == 1);
    let found = site.tenants.iter().find(|(of, _)| of == key).or(only);
    found.map(|(key, tenant)| (key.as_str(), tenant.as_ref()))
}

async fn status(State(site): State<Site>, headers: HeaderMap) -> Result<Response, StatusCode> {
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let (tag, text) = draw(&site, move |site| {
        let tag = format!("\"{}\"", site.version);
        let text =
            (known.as_ref() != Some(&tag)).then(|| json(&Answer::Site(SiteDocument::of(&site, Timestamp::now()))));
        (tag, text)
    })
    .await?;
    Ok(match text {
        Some(text) => ([(ETAG, tag), (CONTENT_TYPE, JSON.to_owned())], text).into_response(),
        None => (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response(),
    })
}

async fn devices(State(site): State<Site>, Words(asked): Words<Asked>) -> Result<Response, StatusCode> {
    let answer = draw(&site, move |site| {
        let query = Query::of(&asked);
        let error = |message: &str| (StatusCode::NOT_FOUND, json(&Answer::Error(ErrorDocument::new(message))));
        let Some((key, tenant)) = chosen(&site, &asked.tenant) else {
            return error("there is no such tenant here: `tenant` is the `key` of one in `/api/status`");
        };
        let Some(reading) = &tenant.reading else { return error("the tenant was not read yet") };
        let document = DevicesDocument::of(key, reading, &query, &query.find(reading));
        (StatusCode::OK, json(&Answer::Devices(document)))
    });
    let (status, text) = answer.await?;
    Ok((status, [(CONTENT_TYPE, JSON)], text).into_response())
}

const JSON: &str = "application/json";

fn json(document: &impl Serialize) -> String {
    escaped(&serde_json::to_string_pretty(document).expect("a document of plain data")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_this_machine_leads_in() {
        for host in
            ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.8.0.1", "[::1]", "[::1]:80", "[::ffff:127.0.0.1]:1"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "0.0.0.0"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
