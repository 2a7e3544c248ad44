//! The seam to the network: one HTTP request, one response.
//!
//! Here live the two types and the trait. What is sent, and why, lives in
//! `graph`; who answers, in `sim` or on the far side of `graph::http`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// A whole HTTP request; the URI is absolute.
pub type Request = http::Request<Bytes>;

/// A whole HTTP response, decompressed.
pub type Response = http::Response<Bytes>;

/// Says why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent: name not found, connection refused, TLS refused.
    #[error("cannot connect to `{host}`: {reason}")]
    Connect {
        /// Where to.
        host: String,
        /// Why not.
        reason: String,
    },
    /// Nothing was sent: there is a proxy on the way, and it is not there, or does
    /// not lead to the host.
    #[error("{}", through(proxy, host, reason, *is_reached))]
    Proxy {
        /// Where to.
        host: String,
        /// Its name and port, without a user or a password.
        proxy: String,
        /// False if nothing answers where the proxy should be.
        is_reached: bool,
        /// Why not.
        reason: String,
    },
    /// Nothing was sent: who answers cannot prove to be the host. No time
    /// heals this.
    #[error("the certificate of `{host}` is not trusted: {reason}")]
    Untrusted {
        /// Who should have answered.
        host: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// The request may or may not have had its effect: connection lost or
    /// timed out after it was (partly) sent.
    #[error("the connection to `{host}` was lost: {reason}")]
    Lost {
        /// Where to.
        host: String,
        /// How it broke.
        reason: String,
    },
    /// Our own rule: no answer of the service is as long as this one. The request
    /// may have had its effect.
    #[error("`{host}` answers with more than {limit} bytes")]
    TooLong {
        /// Who answers.
        host: String,
        /// The most that is read, decompressed.
        limit: usize,
    },
    /// Our own rule: this host may not receive a request.
    #[error("`{host}` is not a host of a known cloud")]
    Forbidden {
        /// Where to.
        host: String,
    },
}

fn through(proxy: &str, host: &str, reason: &str, is_reached: bool) -> String {
    let whence = "HTTPS_PROXY, ALL_PROXY or the system names it";
    match is_reached {
        true => format!("cannot connect to `{host}` through the proxy `{proxy}` ({whence}): {reason}"),
        false => format!("the proxy `{proxy}` on the way to `{host}` cannot be reached ({whence}): {reason}"),
    }
}

/// Sends one request and waits for its response.
///
/// No retry, no redirect, no pacing: whoever calls decides. Real time limits
/// on sockets belong to the implementation.
#[async_trait]
pub trait Transport: Send + Sync {
    /// # Errors
    /// Why there is no response; a response of any status is one.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}

/// A transport that several owners share.
pub type SharedTransport = Arc<dyn Transport>;
