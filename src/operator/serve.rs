//! `/healthz`: the process serves. `/readyz`: everything was listed once, so what is
//! done is done with the whole in view. A restart cures nothing else. `/`: the page.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::index::Index;
use crate::clock::Stop;
use crate::web::{self, Board, Door};

/// Serves until it is asked to stop.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(address: SocketAddr, index: Index, board: Board, stop: Stop) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let ready = move || async move {
        match index.is_listed() {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster were not all listed yet\n"),
        }
    };
    let door = if web::is_loopback(address.ip()) { Door::Loopback } else { Door::Network };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(web::router(board, door));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.asked().await }).await
}
