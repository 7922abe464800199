//! A server inside another application, before it starts.

use std::{future::Future, net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ServerHandle, StartError, TemporaryFolder,
    assembly::{Parts, Reach, Serving, assemble},
    handle,
    mount::{Mount, NO_ADDRESS},
};
use crate::{
    config::Config,
    engine::{self, Catalog, CommandTask},
    http::{self, TokenSettings},
    store::sqlite,
    task::{Registry, TaskController, TaskError, TaskHandler},
};

/// The task server inside an application of your own.
///
/// It is the engine of the daemon: durable, with retries, stops and logs, in your process. Name what it runs, and
/// [`start`](Server::start) it. By default it opens no port: call it through the [`ServerHandle`], let it
/// [`listen`](Server::listen), or mount its HTTP interface in your own server ([`mounted_at`](Server::mounted_at)).
///
/// Call [`taskwright::init()`](crate::init) first in `main`, before the runtime starts, where you give it commands.
///
/// ```
/// use taskwright::{Server, TaskController, TaskError};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Square { number: u32 }
///
/// async fn square(input: Square, _: TaskController) -> Result<u32, TaskError> {
///     Ok(input.number * input.number)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let tasks = Server::temporary().register_fn("square", square).start().await?;
/// let instance = tasks.run_task("square", serde_json::json!({"number": 7})).await?;
/// assert_eq!(instance.wait_for_completion().await?.read::<u32>()?, 49);
/// tasks.shutdown().await?;
/// # Ok(()) })
/// # }
/// ```
pub struct Server {
    store: Location,
    registry: Registry,
    commands: Vec<CommandTask>,
    engine: engine::Settings,
    http: http::Settings,
    reach: Wanted,
}

enum Location {
    Kept(sqlite::Settings),
    Temporary,
}

enum Wanted {
    Listen(SocketAddr),
    Mounted(String),
    Nowhere,
}

impl Server {
    /// A server that keeps everything in the SQLite database at `path`. The file and its folder are made if they are
    /// missing. One process at a time may have it open.
    pub fn at(path: impl Into<PathBuf>) -> Server {
        Server::on(Location::Kept(sqlite::Settings::at(path)))
    }

    /// A server whose store is in a folder of its own below `$TMPDIR`, removed with the handle: for tests and trials.
    pub fn temporary() -> Server {
        Server::on(Location::Temporary)
    }

    /// A server as a configuration file describes it: store, address, tokens, limits, `[[tasks]]`, and the tables
    /// `[handlers.ID]` for the handlers that are registered.
    ///
    /// ```no_run
    /// use taskwright::{Server, config::{Config, Sources}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::load(&Sources::of_process(Some("tasks.toml".into())))?;
    /// let server = Server::configured(config);
    /// # Ok(()) }
    /// ```
    pub fn configured(config: Config) -> Server {
        Server {
            http: config.http(config.listen),
            reach: Wanted::Listen(config.listen),
            registry: Registry::new(config.handlers),
            commands: config.tasks,
            engine: config.engine,
            store: Location::Kept(config.store),
        }
    }

    fn on(store: Location) -> Server {
        Server {
            store,
            registry: Registry::default(),
            commands: Vec::new(),
            engine: engine::Settings { node: crate::config::host_name().into(), ..engine::Settings::default() },
            http: http::Settings::new(NO_ADDRESS),
            reach: Wanted::Nowhere,
        }
    }

    // --- tasks

    /// Registers a handler (`numerous.tasks.register_task`). What runs is fixed when the server starts, so that no
    /// instance finds itself without its task.
    #[must_use]
    pub fn register_task<H: TaskHandler>(mut self, handler: H) -> Server {
        self.registry.register(handler);
        self
    }

    /// Registers an async function or closure of its input and a [`TaskController`] under `id`.
    #[must_use]
    pub fn register_fn<F, I, O, Fut>(mut self, id: &str, function: F) -> Server
    where
        F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
    {
        self.registry.register_fn(id, function);
        self
    }

    /// Registers through the [`Registry`] itself: what [`taskwright::run`](crate::run) takes goes here too.
    #[must_use]
    pub fn register_with(mut self, register: impl FnOnce(&mut Registry)) -> Server {
        register(&mut self.registry);
        self
    }

    /// Adds a program as a task. Needs [`taskwright::init()`](crate::init) first in `main`.
    #[must_use]
    pub fn command(mut self, command: CommandTask) -> Server {
        self.commands.push(command);
        self
    }

    // --- how it is reached

    /// Serves HTTP on a socket of its own. Port 0 takes a free one; see [`ServerHandle::url`]. Another address than a
    /// loopback one needs a [`token`](Server::token).
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Server {
        self.reach = Wanted::Listen(address);
        self
    }

    /// Opens no port: the default.
    #[must_use]
    pub fn without_http(mut self) -> Server {
        self.reach = Wanted::Nowhere;
        self
    }

    /// Says where the application will serve [`ServerHandle::router`], such as `http://127.0.0.1:3000/tasks`: links in
    /// answers begin with that path, and commands report there. Another host than a loopback one needs a
    /// [`token`](Server::token).
    #[must_use]
    pub fn mounted_at(mut self, url: &str) -> Server {
        self.reach = Wanted::Mounted(url.to_owned());
        self
    }

    /// Adds a token: from then on HTTP answers nobody without one.
    #[must_use]
    pub fn token(mut self, token: TokenSettings) -> Server {
        self.http.tokens.push(token);
        self
    }

    /// Changes what HTTP allows: hosts, sizes, connections, streams.
    #[must_use]
    pub fn http_settings(mut self, change: impl FnOnce(&mut http::Settings)) -> Server {
        change(&mut self.http);
        self
    }

    // --- how much it runs

    /// How many handlers may run at once (256).
    #[must_use]
    pub fn local_slots(mut self, slots: NonZeroU32) -> Server {
        self.engine.local_slots = slots;
        self
    }

    /// How many commands may run at once (twice the number of cores).
    #[must_use]
    pub fn command_slots(mut self, slots: NonZeroU32) -> Server {
        self.engine.command_slots = slots;
        self
    }

    /// How long a task that is to stop has until it is dropped or killed (10 s; at most an hour).
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Server {
        self.engine.stop_grace = grace;
        self
    }

    /// How long [`ServerHandle::shutdown`] lets a task with its only attempt go on (25 s), and how long after that
    /// everything is dropped or killed (5 s).
    #[must_use]
    pub fn drain(mut self, drain: Duration, grace: Duration) -> Server {
        self.engine.drain = drain;
        self.engine.drain_grace = grace;
        self
    }

    /// Changes any setting of the engine. With `remote_definitions` a [`token`](Server::token) with the scope `admin` is
    /// needed.
    #[must_use]
    pub fn engine_settings(mut self, change: impl FnOnce(&mut engine::Settings)) -> Server {
        change(&mut self.engine);
        self
    }

    /// Opens the store, settles what an earlier process left, and begins to run what waits. The tokio runtime that calls
    /// it also runs commands and watches deadlines; handlers have a runtime of their own.
    ///
    /// # Errors
    /// [`StartError`], which says what to do. Nothing has begun then.
    pub async fn start(self) -> Result<ServerHandle, StartError> {
        let Server { store, registry, commands, engine, mut http, reach } = self;
        let catalog = Catalog::new(registry.into_handlers()?, commands)?;
        let reach = match reach {
            Wanted::Listen(address) => Reach::Listen(address),
            Wanted::Mounted(url) => {
                let mount = Mount::parse(&url)?;
                mount.apply(&mut http);
                Reach::Mounted(mount)
            }
            Wanted::Nowhere => Reach::Nowhere,
        };
        let (store, folder) = match store {
            Location::Kept(settings) => (settings, None),
            Location::Temporary => {
                let folder = TemporaryFolder::create("taskwright").map_err(StartError::Temporary)?;
                (sqlite::Settings::at(folder.path().join("taskwright.db")), Some(folder))
            }
        };
        let url = match &reach {
            Reach::Mounted(mount) => Some(mount.url.clone()),
            Reach::Listen(_) | Reach::Nowhere => None,
        };
        let assembled = assemble(Parts { store, engine, http: &http, catalog, reach }).await?;
        if let Some((_, address)) = &assembled.listening {
            http.bound = *address;
        }
        let app = http::App::new(assembled.engine.clone(), http);
        let (address, serving) = match assembled.listening {
            Some((listener, address)) => (Some(address), Some(Serving::begin(listener, app.clone()))),
            None => (None, None),
        };
        Ok(ServerHandle::new(handle::Parts {
            engine: assembled.engine,
            app,
            serving,
            address,
            url,
            location: Arc::from(assembled.location),
            folder,
        }))
    }
}
