//! Store, engine and listener, opened in order; and the orderly end of all three.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    task::JoinHandle,
};

use super::{error::StartError, mount::Mount};
use crate::{
    config::reachable,
    engine::{self, Catalog, Engine},
    http::{self, App, Exposure},
    process,
    store::{Store, sqlite, sqlite::SqliteStore},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long HTTP may take to end once everything is drained: its streams are over, only slow readers are left.
const HTTP_PATIENCE: Duration = Duration::from_secs(3);

/// How long the ledger and the store may take to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What is put together.
pub(super) struct Parts<'a> {
    pub store: sqlite::Settings,
    pub engine: engine::Settings,
    pub http: &'a http::Settings,
    pub catalog: Catalog,
    pub reach: Reach,
}

/// How requests and the reports of commands come in.
pub(super) enum Reach {
    /// Through a socket of our own.
    Listen(SocketAddr),
    /// Through somebody else's server, at this URL.
    Mounted(Mount),
    /// Not at all.
    Nowhere,
}

impl Reach {
    fn is_local(&self) -> bool {
        match self {
            Reach::Listen(address) => address.ip().to_canonical().is_loopback(),
            Reach::Mounted(mount) => mount.is_local(),
            Reach::Nowhere => true,
        }
    }

    fn address(&self) -> String {
        match self {
            Reach::Listen(address) => address.to_string(),
            Reach::Mounted(mount) => mount.authority(),
            Reach::Nowhere => String::new(),
        }
    }
}

/// An engine that runs, and the socket that it will be served on.
pub(super) struct Assembled {
    pub engine: Engine,
    pub listening: Option<(TcpListener, SocketAddr)>,
    /// Where its store is.
    pub location: String,
}

/// Opens the store, takes the address without answering on it yet, lets the engine settle what the last process left,
/// then listens. The runtime that calls it also runs commands and watches deadlines.
///
/// # Errors
/// [`StartError`]; everything that was opened is closed again.
pub(super) async fn assemble(parts: Parts<'_>) -> Result<Assembled, StartError> {
    parts.engine.check()?;
    // However it is reached: the router can be mounted anywhere, too.
    match parts.http.exposure(parts.reach.is_local(), parts.engine.remote_definitions) {
        None => {}
        Some(Exposure::Everything) => return Err(StartError::Exposed { address: parts.reach.address() }),
        Some(Exposure::Definitions) => return Err(StartError::NobodyMayDefine),
    }
    let program = match process::own_program() {
        Ok(program) => program,
        Err(error) if parts.catalog.has_commands() || parts.engine.remote_definitions => return Err(error.into()),
        // Nobody will ask for a spawner.
        Err(_) => PathBuf::new(),
    };
    let store = Arc::new(SqliteStore::open(parts.store.clone()).await?);
    match assemble_on(parts, program, Arc::clone(&store) as Arc<dyn Store>).await {
        Ok(assembled) => Ok(assembled),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

async fn assemble_on(parts: Parts<'_>, program: PathBuf, store: Arc<dyn Store>) -> Result<Assembled, StartError> {
    let identity = store.identity();
    let location = identity.location.clone();
    if !matches!(identity.synchronous.as_str(), "full" | "extra") {
        tracing::warn!(
            synchronous = identity.synchronous,
            "database.synchronous is below full: a power cut may lose starts that were acknowledged"
        );
    }
    let bound = match parts.reach {
        Reach::Listen(address) => {
            let refused = |source| StartError::Listen { address, source };
            let socket = bind(address).map_err(refused)?;
            let bound = socket.local_addr().map_err(refused)?;
            Some((socket, bound))
        }
        Reach::Mounted(_) | Reach::Nowhere => None,
    };
    let url = match (&bound, parts.reach) {
        (Some((_, bound)), _) => format!("http://{}", reachable(*bound)),
        (None, Reach::Mounted(mount)) => mount.url,
        (None, _) => String::new(),
    };
    let engine =
        Engine::open(engine::Parts { settings: parts.engine, store, catalog: parts.catalog, program, url }).await?;
    let listening = match bound {
        None => None,
        Some((socket, address)) => match socket.listen(BACKLOG) {
            Ok(listener) => Some((listener, address)),
            Err(source) => {
                engine.drain().await;
                engine.close().await;
                return Err(StartError::Listen { address, source });
            }
        },
    };
    Ok(Assembled { engine, listening, location })
}

/// Takes the address. Nobody is answered before the socket listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What a dead daemon's connections left in TIME_WAIT does not hold the port; one that listens does.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// HTTP on a socket of our own. Dropped, it ends by itself.
pub(super) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    /// Ends when HTTP has.
    pub task: JoinHandle<()>,
}

impl Serving {
    /// Begins to serve `app`.
    pub fn begin(listener: TcpListener, app: App) -> Serving {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(http::serve(listener, app, async {
            let _ = stopped.await;
        }));
        Serving { stop: Some(stop), task }
    }

    async fn end(&mut self) {
        drop(self.stop.take());
        if !self.task.is_finished() && tokio::time::timeout(HTTP_PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Drains the engine while HTTP goes on, ends HTTP, closes the store.
///
/// # Errors
/// The store did not close in time.
pub(super) async fn take_down(engine: &Engine, app: Option<&App>, serving: Option<&mut Serving>) -> Result<(), String> {
    engine.drain().await;
    if let Some(serving) = serving {
        serving.end().await;
    }
    if let Some(app) = app {
        // Served by somebody else too: long polls and streams end.
        app.close();
    }
    match tokio::time::timeout(CLOSE_PATIENCE, engine.close()).await {
        Ok(()) => Ok(()),
        Err(_) => Err("the store did not close in time".to_owned()),
    }
}
