//! The daemon that `taskwright serve` runs: it serves until a signal comes.

use std::{net::SocketAddr, time::Duration};

use super::{
    Signal, Signals, StartError,
    assembly::{Assembled, Parts, Reach, Serving, assemble, take_down},
    notify,
};
use crate::{
    config::{Config, reachable},
    engine::{Catalog, Engine},
    http,
};

/// How long the children may take to be killed.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long requests that wait for a store that failed may take to be answered.
const ANSWER_PATIENCE: Duration = Duration::from_millis(200);

/// How a daemon ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonEnd {
    /// In good order.
    Drained,
    /// A second signal came before the drain was over.
    Killed(Signal),
    /// It could not go on: the whole chain of causes.
    Failed(String),
}

/// A daemon that is ready to serve.
pub struct Daemon {
    assembled: Assembled,
    settings: http::Settings,
    address: SocketAddr,
}

impl Daemon {
    /// Puts the daemon together; it listens, and does not answer yet. The runtime that calls it also runs commands and
    /// watches deadlines. [`crate::init`] or [`crate::run`] came first in `main`.
    ///
    /// # Errors
    /// [`StartError`]; everything that was opened is closed again.
    pub async fn open(config: &Config, catalog: Catalog) -> Result<Daemon, StartError> {
        let assembled = assemble(Parts {
            store: config.store.clone(),
            engine: config.engine.clone(),
            http: &config.http(config.listen),
            catalog,
            reach: Reach::Listen(config.listen),
        })
        .await?;
        let address = assembled.listening.as_ref().map_or(config.listen, |(_, address)| *address);
        Ok(Daemon { assembled, settings: config.http(address), address })
    }

    /// Tells whoever may read what it was configured with.
    #[must_use]
    pub fn showing(mut self, configuration: Vec<http::Shown>) -> Daemon {
        self.settings.shown = configuration;
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is reached from this machine.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    /// Where its store is.
    pub fn location(&self) -> &str {
        &self.assembled.location
    }

    /// The ids of its tasks.
    pub fn tasks(&self) -> Vec<String> {
        self.assembled.engine.definitions().iter().map(|definition| definition.id.to_string()).collect()
    }

    /// Serves until a signal came and everything is drained, a second signal came, or the store failed for good.
    ///
    /// After any other end than [`DaemonEnd::Drained`] the process is to exit at once.
    pub async fn run(&mut self, signals: &mut Signals) -> DaemonEnd {
        let Some((listener, _)) = self.assembled.listening.take() else { return DaemonEnd::Drained };
        let engine = self.assembled.engine.clone();
        let mut serving = Serving::begin(listener, http::App::new(engine.clone(), self.settings.clone()));
        notify::send(notify::READY);

        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal = signal.name(), "draining: running tasks may end, new ones are refused");
                notify::send(notify::STOPPING);
            }
            why = engine.failed() => return fail(&engine, why).await,
            ended = &mut serving.task => return fail(&engine, format!("HTTP ended: {ended:?}")).await,
        }
        let ending = tokio::select! {
            // First: after it nothing is drained, and all the rest ends soon.
            biased;
            why = engine.failed() => DaemonEnd::Failed(why),
            ended = take_down(&engine, None, Some(&mut serving)) => match ended {
                Ok(()) => DaemonEnd::Drained,
                Err(why) => DaemonEnd::Failed(why),
            },
            signal = signals.next() => DaemonEnd::Killed(signal),
        };
        match ending {
            DaemonEnd::Drained => {
                tracing::info!("drained");
                DaemonEnd::Drained
            }
            DaemonEnd::Killed(signal) => {
                tracing::warn!(signal = signal.name(), "second signal: killing what still runs");
                let _ = tokio::time::timeout(ABORT_PATIENCE, engine.abort()).await;
                DaemonEnd::Killed(signal)
            }
            DaemonEnd::Failed(why) => fail(&engine, why).await,
        }
    }
}

/// Says why, kills the children, and gives waiting requests a moment to be answered.
async fn fail(engine: &Engine, why: String) -> DaemonEnd {
    tracing::error!(
        error = why,
        "cannot go on: everything that was acknowledged is in the store; start the daemon again"
    );
    let _ = tokio::time::timeout(ABORT_PATIENCE, engine.abort()).await;
    tokio::time::sleep(ANSWER_PATIENCE).await;
    DaemonEnd::Failed(why)
}
