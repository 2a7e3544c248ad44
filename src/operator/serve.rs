//! `/healthz`: the process serves. `/readyz`: everything was listed once, so what is
//! done is done with the whole in view. A restart cures nothing else.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::index::Index;
use crate::clock::Stop;

/// Serves until it is asked to stop.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(address: SocketAddr, index: Index, stop: Stop) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let ready = move || async move {
        match index.is_listed() {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster were not all listed yet\n"),
        }
    };
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.asked().await }).await
}
