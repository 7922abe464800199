//! The daemon as its users run it: the real binary, on a free port, with a temporary store.

use std::{
    fmt::Display,
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::MetadataExt, fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::wait_for;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_taskwright");

/// A daemon. Dropped, it is killed, and nothing of it may be left.
pub struct TestServer {
    child: Option<Child>,
    folder: TempDir,
    url: String,
    stderr: Arc<Mutex<String>>,
    client: reqwest::Client,
    variables: Vec<(String, String)>,
    surroundings: Surroundings,
    listen: String,
}

/// Where a daemon lives, if not in an ordinary place.
#[derive(Default)]
pub struct Surroundings {
    /// Its database, if that is not in the temporary folder.
    pub database: Option<PathBuf>,
    /// The program and arguments through which it is started, such as `prlimit --nofile=64`. It must become the daemon.
    pub through: Vec<String>,
}

impl TestServer {
    /// Starts a daemon with the handlers it ships and nothing configured.
    pub async fn start() -> Self {
        TestServer::with_config("").await
    }

    /// Starts a daemon with this configuration file. Address and store are given as flags.
    pub async fn with_config(config: &str) -> Self {
        TestServer::with(config, &[]).await
    }

    /// Starts a daemon with this configuration file and these variables.
    pub async fn with(config: &str, variables: &[(&str, &str)]) -> Self {
        TestServer::within(config, variables, Surroundings::default()).await
    }

    /// Starts a daemon with this configuration file and these variables in these surroundings.
    pub async fn within(config: &str, variables: &[(&str, &str)], surroundings: Surroundings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("config.toml"), config).expect("the configuration can be written");
        let mut server = TestServer {
            child: None,
            folder,
            url: String::new(),
            stderr: Arc::default(),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            surroundings,
            listen: "127.0.0.1:0".to_owned(),
        };
        server.spawn().await;
        server
    }

    async fn spawn(&mut self) {
        let mut child = command_through(&self.surroundings.through)
            .args(["serve", "--listen", &self.listen, "--log-format", "json", "--config"])
            .arg(self.config())
            .args(["--database", &self.database_url()])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon can be started");
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (pipe, log) = (child.stderr.take().expect("stderr is piped"), Arc::clone(&self.stderr));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        self.child = Some(child);
        let log = Arc::clone(&self.stderr);
        let child = self.child.as_mut().expect("it was started");
        self.url = wait_for("the line that says where the daemon listens", async || {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("the daemon did not start: {status}\n{log}");
            }
            let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events.filter_map(|event| event["url"].as_str().map(str::to_owned)).next()
        })
        .await;
    }

    /// The address of `path` at this daemon.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// `address:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A client without credentials.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The daemon's process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the daemon runs"))
    }

    /// The folder of configuration and store.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        let elsewhere = self.surroundings.database.clone();
        elsewhere.unwrap_or_else(|| self.folder.path().join("store/taskwright.db"))
    }

    /// The database's URL.
    pub fn database_url(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    /// What the daemon has logged since it was last started.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the daemon can be signalled");
    }

    /// Kills the daemon as a power cut would, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        let status = self.child.take().expect("the daemon runs").wait().expect("a child can be waited for");
        assert_eq!(status.signal(), Some(9), "it ended otherwise: {status}");
    }

    /// Starts the daemon again on the same store, after it was stopped or killed, or stops it first.
    pub async fn restart(&mut self) {
        if self.child.is_some() {
            let status = self.stop().await;
            assert!(status.success(), "{status}\n{}", self.stderr());
        }
        self.spawn().await;
    }

    /// Lets every later start of this daemon listen where it does now.
    pub fn stay(&mut self) {
        self.listen = self.address().to_owned();
    }

    /// Asks the daemon to end and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the daemon has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the daemon", async || self.has_ended()).await
    }

    /// How the daemon ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("a child can be waited for")?;
        self.child = None;
        Some(status)
    }

    /// Asserts that `fsck` finds nothing wrong with the store.
    pub fn fsck(&self) {
        let output = run(&["fsck", "--database", &self.database_url()]);
        let findings = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{findings}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(findings, "");
    }

    /// Starts an instance of `task`.
    pub async fn start_task(&self, task: &str, inputs: Value) -> Value {
        let body = serde_json::json!({ "task_id": task, "inputs": inputs });
        let answer = self.client.post(self.url("/v1/instances")).json(&body).send().await.expect("an answer");
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert_eq!(status, 201, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The instance with this id or number.
    pub async fn get(&self, id: impl Display) -> Value {
        self.get_json(&format!("/v1/instances/{id}")).await
    }

    /// What a GET of `path` answers, which must be a success.
    pub async fn get_json(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.expect("an answer");
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The instance once it is done.
    pub async fn wait_done(&self, id: impl Display) -> Value {
        self.wait_until(id, "done", |instance| {
            matches!(instance["status"].as_str(), Some("completed" | "failed" | "cancelled"))
        })
        .await
    }

    /// The instance once it runs.
    pub async fn wait_running(&self, id: impl Display) -> Value {
        self.wait_until(id, "running", |instance| instance["status"] == "running").await
    }

    /// The instance once `is_so` holds for it.
    pub async fn wait_until(&self, id: impl Display, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("instance {id} being {what}"), async || {
            let instance = self.get(&id).await;
            is_so(&instance).then_some(instance)
        })
        .await
    }

    /// The value of `TASKWRIGHT_STORE` in this store's processes.
    pub fn tag(&self) -> Option<String> {
        let lock = fs::metadata(self.database().with_added_extension("lock")).ok()?;
        Some(format!("{}:{}", lock.dev(), lock.ino()))
    }

    /// The processes of this store's attempts.
    pub fn processes(&self) -> Vec<i32> {
        self.tag().map_or_else(Vec::new, |tag| processes_with(&format!("TASKWRIGHT_STORE={tag}")))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.stderr());
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "these processes outlive their daemon: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The processes whose environment holds `entry`.
pub fn processes_with(entry: &str) -> Vec<i32> {
    let holds = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
    };
    let folders = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).filter(holds).collect()
}

/// The binary without whatever the environment of the tests would tell it.
pub fn command() -> Command {
    command_through(&[])
}

/// The binary as another program starts it, which is given with its arguments.
pub fn command_through(through: &[String]) -> Command {
    let mut words = through.iter().map(String::as_str).chain([BINARY]);
    let mut command = Command::new(words.next().expect("there is the binary"));
    command.args(words);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("TASKWRIGHT") || text.starts_with("NUMEROUS") || text.starts_with("XDG_") {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// One of `examples/`, as cargo built it beside the binary.
pub fn example(name: &str) -> Command {
    let path = Path::new(BINARY).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not built: run cargo build --examples", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Runs a verb to its end.
pub fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().expect("the binary runs")
}

/// A file with this text that only its owner may write.
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    path
}
