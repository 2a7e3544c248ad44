//! `/healthz`: the process serves. `/readyz`: everything was listed once, so what is
//! done is done with the whole in view. A restart cures nothing else. `/metrics`:
//! what is counted. `/`: the page.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use super::index::Index;
use super::metrics::Metrics;
use crate::clock::Stop;
use crate::web::{self, Board, Door};

/// What Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is asked to stop.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(
    address: SocketAddr,
    index: Index,
    metrics: Metrics,
    board: Board,
    stop: Stop,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "health and numbers are served");
    let ready = move || async move {
        match index.is_listed() {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster were not all listed yet\n"),
        }
    };
    let counted = move || async move { ([(CONTENT_TYPE, OPEN_METRICS)], metrics.text()) };
    let door = if web::is_loopback(address.ip()) { Door::Loopback } else { Door::Network };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(counted))
        .merge(web::router(board, door));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.asked().await }).await
}
