//! A request to stop: after the requests under way, with a whole journal.

use tokio::sync::watch;

/// Asked before every request and while waiting.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// The other end: whoever holds it may ask to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// One that is never asked to stop.
    #[must_use]
    pub fn never() -> Self {
        Self::new().1
    }

    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when somebody asks to stop; never, if nobody can any more.
    pub async fn asked(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
