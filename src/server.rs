//! The composition root: store, engine and HTTP put together in the order that keeps their promises, and taken down in
//! the reverse.

mod notify;
mod signals;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use signals::{Signal, Signals};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};

use crate::{
    config::{Config, reachable},
    engine::{self, Catalog, Engine, OpenEngineError},
    http,
    store::{OpenError, Store, sqlite::SqliteStore},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long HTTP may take to end once everything is drained: its streams are over, only slow readers are left.
const HTTP_PATIENCE: Duration = Duration::from_secs(3);

/// How long the ledger and the store may take to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the children may take to be killed.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long requests that wait for a store that failed may take to be answered.
const ANSWER_PATIENCE: Duration = Duration::from_millis(200);

/// Why a daemon did not start. It has changed nothing that a later start would not settle.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: stop what listens there, or give another server.listen (--listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine cannot begin.
    #[error(transparent)]
    Engine(#[from] OpenEngineError),
}

/// How a daemon ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Drained,
    /// A second signal came before the drain was over.
    Killed(Signal),
    /// It could not go on: the whole chain of causes.
    Failed(String),
}

/// A daemon that is ready to serve.
pub struct Server {
    engine: Engine,
    listener: Option<TcpListener>,
    settings: http::Settings,
    address: SocketAddr,
    location: String,
}

impl Server {
    /// Opens the store, takes the address without answering on it yet, lets the engine settle what the last daemon left,
    /// then listens. `program` is this binary. The runtime that calls it also runs commands and watches deadlines.
    ///
    /// # Errors
    /// [`StartError`]; everything that was opened is closed again.
    pub async fn open(config: &Config, catalog: Catalog, program: PathBuf) -> Result<Server, StartError> {
        let store = Arc::new(SqliteStore::open(config.store.clone()).await?);
        match Server::open_on(config, catalog, program, Arc::clone(&store) as Arc<dyn Store>).await {
            Ok(server) => Ok(server),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn open_on(
        config: &Config,
        catalog: Catalog,
        program: PathBuf,
        store: Arc<dyn Store>,
    ) -> Result<Server, StartError> {
        let identity = store.identity();
        let location = identity.location.clone();
        if !matches!(identity.synchronous.as_str(), "full" | "extra") {
            tracing::warn!(
                synchronous = identity.synchronous,
                "database.synchronous is below full: a power cut may lose starts that were acknowledged"
            );
        }
        let refused = |source| StartError::Listen { address: config.listen, source };
        let socket = bind(config.listen).map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        let engine = Engine::open(engine::Parts {
            settings: config.engine.clone(),
            store,
            catalog,
            program,
            url: format!("http://{}", reachable(address)),
        })
        .await?;
        let listener = match socket.listen(BACKLOG) {
            Ok(listener) => listener,
            Err(source) => {
                engine.drain().await;
                engine.close().await;
                return Err(refused(source));
            }
        };
        Ok(Server { engine, listener: Some(listener), settings: config.http(address), address, location })
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
        &self.location
    }

    /// The ids of its tasks.
    pub fn tasks(&self) -> Vec<String> {
        self.engine.definitions().iter().map(|definition| definition.id.to_string()).collect()
    }

    /// Serves until a signal came and everything is drained, a second signal came, or the store failed for good.
    ///
    /// After any other end than [`Ending::Drained`] the process is to exit at once.
    pub async fn run(&mut self, signals: &mut Signals) -> Ending {
        let Some(listener) = self.listener.take() else { return Ending::Drained };
        let engine = self.engine.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let app = http::App::new(engine.clone(), self.settings.clone());
        let mut serving = tokio::spawn(http::serve(listener, app, async {
            let _ = stopped.await;
        }));
        notify::send(notify::READY);

        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal = signal.name(), "draining: running tasks may end, new ones are refused");
                notify::send(notify::STOPPING);
            }
            why = engine.failed() => return fail(&engine, why).await,
            ended = &mut serving => return fail(&engine, format!("HTTP ended: {ended:?}")).await,
        }
        let orderly = async {
            engine.drain().await;
            let _ = stop.send(());
            if tokio::time::timeout(HTTP_PATIENCE, &mut serving).await.is_err() {
                serving.abort();
            }
            if tokio::time::timeout(CLOSE_PATIENCE, engine.close()).await.is_err() {
                return Err("the store did not close in time".to_owned());
            }
            Ok(())
        };
        let ending = tokio::select! {
            ended = orderly => match ended {
                Ok(()) => Ending::Drained,
                Err(why) => Ending::Failed(why),
            },
            signal = signals.next() => Ending::Killed(signal),
            why = engine.failed() => Ending::Failed(why),
        };
        match ending {
            Ending::Drained => {
                tracing::info!("drained");
                Ending::Drained
            }
            Ending::Killed(signal) => {
                tracing::warn!(signal = signal.name(), "second signal: killing what still runs");
                let _ = tokio::time::timeout(ABORT_PATIENCE, engine.abort()).await;
                Ending::Killed(signal)
            }
            Ending::Failed(why) => fail(&engine, why).await,
        }
    }
}

/// Says why, kills the children, and gives waiting requests a moment to be answered.
async fn fail(engine: &Engine, why: String) -> Ending {
    tracing::error!(
        error = why,
        "cannot go on: everything that was acknowledged is in the store; start the daemon again"
    );
    let _ = tokio::time::timeout(ABORT_PATIENCE, engine.abort()).await;
    tokio::time::sleep(ANSWER_PATIENCE).await;
    Ending::Failed(why)
}

/// Takes the address. Nobody is answered before the socket listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What a dead daemon's connections left in TIME_WAIT does not hold the port; one that listens does.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
