//! One page at work: its daemon, its folder and its shell.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::server::{BINARY, Surroundings, TestServer};

/// The longest that one command may take.
const LONGEST: Duration = Duration::from_secs(60);

/// A page's daemon, folder and shell.
pub struct Session {
    server: TestServer,
    /// The daemon of `serve --demo`, while the page speaks of that.
    demo: Option<TestServer>,
    shell: Shell,
    replaced: Vec<(String, String)>,
}

/// The shell of a page. It goes with the page.
struct Shell {
    _process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// How a command went.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to either stream, with the daemon's usual address.
    pub printed: String,
}

impl Session {
    /// A daemon that has only what it ships, and a shell whose `taskwright` is the one under test.
    pub async fn start() -> Session {
        Session::of(None, "").await
    }

    /// The same with this configuration, where the daemon is one of `examples/`.
    pub async fn of(example: Option<&str>, config: &str) -> Session {
        let binaries = Path::new(BINARY).parent().expect("a folder").display().to_string();
        let path = format!("{binaries}:/usr/local/bin:/usr/bin:/bin:/usr/sbin");
        // The binary is the first argument; the example takes its place and its other arguments.
        let instead = |name: &str| format!("shift; exec '{binaries}/examples/{name}' \"$@\"");
        let through = example.map(|name| ["sh".to_owned(), "-c".to_owned(), instead(name), "sh".to_owned()].into());
        let surroundings = Surroundings { through: through.unwrap_or_default(), ..Surroundings::default() };
        // A page that ends its daemon does not wait for what runs there.
        let variables = [("PATH", path.as_str()), ("TASKWRIGHT_SERVER__DRAIN", "0s")];
        let server = TestServer::within(config, &variables, surroundings).await;
        // On a terminal curl shows no progress of what it prints; it asks where it writes.
        fs::write(server.folder().join(".curlrc"), "no-progress-meter\n").expect("a file can be written");
        let shell = Shell::start(server.folder(), &path);
        Session { server, demo: None, shell, replaced: Vec::new() }
    }

    /// The daemon.
    pub fn server(&self) -> &TestServer {
        &self.server
    }

    /// Where the page's daemon listens.
    fn address(&self) -> &str {
        self.demo.as_ref().unwrap_or(&self.server).address()
    }

    /// The folder in which the page's commands run: that of the configuration.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// From now on `from` in the page's text is `to`.
    pub fn replace(&mut self, from: &str, to: &str) {
        self.replaced.push((from.to_owned(), to.to_owned()));
    }

    /// The page's text with our addresses and folders in it.
    pub fn ours(&self, text: &str) -> String {
        let text = text.replace("127.0.0.1:8080", self.address()).replace("localhost:8080", self.address());
        let text = text.replace("/etc/taskwright/config.toml", &self.server.config().display().to_string());
        let text = text.replace("/var/lib/taskwright", &self.folder().join("store").display().to_string());
        let text = text.replace("/var/backups", &self.folder().join("backups").display().to_string());
        self.replaced.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// The inverse, for what a page shows.
    fn theirs(&self, text: &str) -> String {
        let text = text.replace(self.address(), "127.0.0.1:8080");
        let text = text.replace(&self.server.config().display().to_string(), "/etc/taskwright/config.toml");
        let text = text.replace(&self.folder().join("store").display().to_string(), "/var/lib/taskwright");
        let text = text.replace(&self.folder().join("backups").display().to_string(), "/var/backups");
        self.replaced.iter().fold(text, |text, (from, to)| text.replace(to, from))
    }

    /// Writes the text of a file of the page, and answers where.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = PathBuf::from(self.ours(name));
        let path = if path.is_absolute() { path } else { self.folder().join(path) };
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&path, self.ours(text)).expect("a file can be written");
        path
    }

    /// Runs one command of the page. What starts and stops a daemon is done to the page's own.
    pub async fn run(&mut self, command: &str) -> Ran {
        let command = command.trim().strip_prefix("sudo ").unwrap_or(command.trim());
        let done = Ran { code: 0, printed: String::new() };
        let serve = ["taskwright serve --config ", "cargo run --example own_handler -- serve --config "];
        if let Some(config) = serve.iter().find_map(|serve| command.strip_prefix(serve)) {
            let config = self.folder().join(self.ours(config));
            if config != self.server.config() {
                fs::copy(&config, self.server.config()).unwrap_or_else(|error| panic!("{}: {error}", config.display()));
            }
            self.demo = None;
            self.server.restart().await;
            return done;
        }
        match command {
            "taskwright serve --demo" | "cargo run --release -- serve --demo" => self.demo = Some(self.demo().await),
            "taskwright serve" | "systemctl start taskwright" | "systemctl restart taskwright" => {
                self.server.restart().await;
            }
            "systemctl stop taskwright" => assert!(self.server.stop().await.success(), "{}", self.server.stderr()),
            _ => return self.paste(command).await,
        }
        done
    }

    /// The daemon of the demo, with a store of its own below our folder.
    async fn demo(&self) -> TestServer {
        let demo = format!("exec '{BINARY}' serve --demo --listen 127.0.0.1:0 --log-format json");
        let through = ["sh".to_owned(), "-c".to_owned(), demo].into();
        let folder = self.folder().display().to_string();
        let surroundings = Surroundings { through, ..Surroundings::default() };
        TestServer::within("", &[("TMPDIR", &folder)], surroundings).await
    }

    /// Has the shell run one command.
    async fn paste(&mut self, command: &str) -> Ran {
        let variables = format!(
            "export TASKWRIGHT_URL='http://{}' TASKWRIGHT_CONFIG='{}' TASKWRIGHT_DATABASE__URL='{}'\n",
            self.address(),
            self.server.config().display(),
            self.server.database_url(),
        );
        let file = self.folder().join(".command");
        fs::write(&file, format!("{variables}{}\n", self.ours(command))).expect("a file can be written");
        let ran = timeout(LONGEST, self.shell.source(&file)).await;
        let ran = ran.unwrap_or_else(|_| panic!("still at work after {LONGEST:?}: {command}"));
        Ran { printed: self.theirs(&ran.printed), ..ran }
    }
}

impl Shell {
    fn start(folder: &Path, path: &str) -> Shell {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-s").current_dir(folder).env_clear().envs([("PATH", path), ("LANG", "C.UTF-8")]).env("HOME", folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut process = shell.spawn().expect("there is a shell");
        let (stdin, stdout) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        Shell { _process: process, stdin, stdout: BufReader::new(stdout) }
    }

    /// Runs the commands in a file in the shell itself, so that its variables stay.
    async fn source(&mut self, file: &Path) -> Ran {
        let line = format!(". '{}' < /dev/null 2>&1\nprintf '\\036%s\\036' $?\n", file.display());
        self.stdin.write_all(line.as_bytes()).await.expect("the shell reads");
        let printed = self.until_separator().await;
        let code = self.until_separator().await;
        Ran { code: code.parse().unwrap_or_else(|_| panic!("{code} is no exit code")), printed }
    }

    async fn until_separator(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let byte = self.stdout.read_u8().await;
            match byte.unwrap_or_else(|_| panic!("the shell ended: {}", String::from_utf8_lossy(&bytes))) {
                0x1e => return String::from_utf8(bytes).expect("UTF-8"),
                byte => bytes.push(byte),
            }
        }
    }
}
