//! Collections in pages, followed to their end or not at all.
//!
//! A listing that was cut short must never look complete: devices that are
//! missing from it would be registered again, or worse.

use std::collections::HashSet;
use std::hash::Hash;

use bytes::Bytes;
use http::Method;
use reqwest::Url;
use serde::de::DeserializeOwned;

use super::client::{self, Call, Client, Repeat};
use super::error::{About, ErrorKind, GraphError};
use super::pace::Class;
use super::wire;

/// Where a collection starts, and what its items become.
pub(super) struct Listing<W, T, K> {
    pub about: About,
    pub route: &'static str,
    /// What is asked for beyond that, from its `?` on; empty for all.
    pub query: String,
    pub class: Class,
    pub item: fn(W) -> Result<T, String>,
    pub key: fn(&T) -> K,
    /// The bytes of an item's texts.
    pub texts: fn(&T) -> usize,
}

/// No tenant has this many pages; a service that sends them is looping.
const PAGES_MAX: usize = 20_000;
/// What is kept of a listing: as much as of a million devices.
const KEPT_BYTES_MAX: usize = 384 << 20;
/// No link to a next page is as long.
const LINK_BYTES_MAX: usize = 8 << 10;
/// A page may be empty and still have a successor, but not for ever.
const EMPTY_PAGES_MAX: usize = 20;

impl<W: DeserializeOwned, T, K: Hash + Eq> Listing<W, T, K> {
    /// Reads all pages, in the order of the service. An item that appears
    /// twice, because the set moved while we read it, is kept once.
    ///
    /// # Errors
    /// When any page is missing, a link loops or leads elsewhere, or an item
    /// cannot be told from others.
    pub(super) async fn read(&self, client: &Client) -> Result<Vec<T>, GraphError> {
        match self.follow(client).await {
            // The place in the listing that a link remembers can expire
            // between two pages. Then, once, from the start.
            Err(error) if error.kind == ErrorKind::Refused => self.follow(client).await,
            result => result,
        }
    }

    async fn follow(&self, client: &Client) -> Result<Vec<T>, GraphError> {
        let senseless = |reason: &str| GraphError::new(ErrorKind::Protocol, self.about, reason);
        let mut url = format!("{}{}{}", client.endpoints.graph, self.route, self.query);
        let mut visited = HashSet::new();
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        let (mut repeated, mut empty, mut kept) = (0_usize, 0_usize, 0_usize);
        loop {
            if !visited.insert(url.clone()) {
                return Err(senseless("the listing loops: a page links to one that was already read"));
            }
            if visited.len() > PAGES_MAX {
                return Err(senseless("the listing has no end"));
            }
            let page: wire::Page<W> = client.send(&self.call(url), client::page).await?;
            if page.value.len() > wire::PAGE_ITEMS_MAX {
                return Err(senseless("a page has more items than any that the service has"));
            }
            let (before, on_page) = (items.len(), page.value.len());
            for item in page.value {
                let item = (self.item)(item).map_err(|reason| senseless(&reason))?;
                if seen.insert((self.key)(&item)) {
                    kept += size_of::<(T, K)>() + (self.texts)(&item);
                    items.push(item);
                }
            }
            kept += page.next_link.len();
            if kept > KEPT_BYTES_MAX {
                return Err(senseless("the listing is longer than any that the service has"));
            }
            let new = items.len() - before;
            repeated += on_page - new;
            if on_page > 0 && new == 0 {
                return Err(senseless("the listing repeats itself: a page has only items of earlier pages"));
            }
            empty = if on_page == 0 { empty + 1 } else { 0 };
            if page.next_link.is_empty() {
                break;
            }
            if empty > EMPTY_PAGES_MAX {
                return Err(senseless("the listing has no end: one empty page after another"));
            }
            url = next(&page.next_link, &client.endpoints.graph).map_err(|reason| senseless(&reason))?;
        }
        if repeated > 0 {
            tracing::warn!(operation = self.about.operation, repeated, "items listed twice were kept once");
        }
        Ok(items)
    }

    fn call(&self, url: String) -> Call {
        Call {
            about: self.about,
            method: Method::GET,
            url,
            route: self.route,
            body: Bytes::new(),
            class: self.class,
            cost: 1,
            repeat: Repeat::Freely,
            send_before: None,
        }
    }
}

/// Checks that a link leads back to where we came from: our token goes with
/// the request. The link itself is followed verbatim.
fn next(link: &str, graph: &str) -> Result<String, String> {
    if link.len() > LINK_BYTES_MAX {
        return Err("the link to the next page is longer than any that the service has".to_owned());
    }
    let foreign = || "the listing leads to another host".to_owned();
    let url = Url::parse(link).map_err(|_| "the link to the next page is not a URL".to_owned())?;
    let base = Url::parse(graph).map_err(|_| foreign())?;
    let same = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    if !same {
        return Err(foreign());
    }
    link.parse::<http::Uri>().map_err(|_| "the link to the next page is not a URL".to_owned())?;
    Ok(link.to_owned())
}
