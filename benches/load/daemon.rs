//! The daemon under test: the release binary as a child process, its store in a temporary folder on the working disk.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{Failure, client::TOKEN};

const BINARY: &str = env!("CARGO_BIN_EXE_taskwright");
/// Not `/tmp`, which may be in memory: cargo's own folder lies beside the sources.
const WORKING_DISK: &str = env!("CARGO_TARGET_TMPDIR");
const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    folder: TempDir,
    /// What its configuration holds beside address, store and token.
    settings: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From exec to the first 200 of `/readyz`.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// Starts it on an empty store and waits until it is ready.
    pub(crate) fn start(slots: u32) -> Result<Self, Failure> {
        Self::configured(&format!("[worker]\nlocal_slots = {slots}\n"))
    }

    /// The same with these tables in its configuration.
    pub(crate) fn configured(settings: &str) -> Result<Self, Failure> {
        Self::start_in(folder()?, settings.to_owned())
    }

    /// The same on the store in this folder.
    pub(crate) fn start_in(folder: TempDir, settings: String) -> Result<Self, Failure> {
        // The port is free until the daemon takes it; another process that is quicker makes the start fail, loudly.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = folder.path().join("config.toml");
        std::fs::write(
            &config,
            format!(
                "[server]\nlisten = \"{address}\"\n\n[database]\nurl = \"sqlite://{}\"\n\n\
                 [[tokens]]\nname = \"bench\"\nsha256 = \"{}\"\nscopes = [\"run\"]\n\n{settings}",
                store(folder.path()).display(),
                token_hash()
            ),
        )?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let began = Instant::now();
        let child = Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut daemon = Daemon { child, folder, settings, address, ready_after: Duration::ZERO };
        while !matches!(request(address, "/readyz"), Ok(reply) if reply.starts_with("HTTP/1.1 200")) {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("the daemon ended at its start: {status}\n{}", daemon.log()).into());
            }
            if began.elapsed() > START_TIMEOUT {
                return Err(format!("the daemon was not ready within {START_TIMEOUT:?}\n{}", daemon.log()).into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        daemon.ready_after = began.elapsed();
        Ok(daemon)
    }

    /// Stops it and starts it again on the same store.
    pub(crate) fn restart(self) -> Result<Self, Failure> {
        let settings = self.settings.clone();
        Self::start_in(self.shut_down()?, settings)
    }

    /// Ends it as an operator would and removes its store.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.shut_down()?.close()?;
        Ok(())
    }

    /// Ends it and keeps its store.
    pub(crate) fn shut_down(mut self) -> Result<TempDir, Failure> {
        let status = signal("TERM", self.child.id())?;
        if !status.success() {
            return Err("the daemon was gone before it was stopped".into());
        }
        let began = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => break,
                Some(status) => return Err(format!("the daemon ended with {status}\n{}", self.log()).into()),
                None if began.elapsed() > STOP_TIMEOUT => return Err("the daemon did not end after SIGTERM".into()),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir_in(WORKING_DISK)?))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its store: where the disk is measured.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the daemon itself says about its store: the lines of `/readyz?verbose`, and how it starts.
    pub(crate) fn facts(&self) -> String {
        let reply = request(self.address, "/readyz?verbose").unwrap_or_default();
        reply.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.trim().to_owned())
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(2000);
        log.get(from..).unwrap_or(&log).to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A folder on the working disk.
pub(crate) fn folder() -> Result<TempDir, Failure> {
    Ok(tempfile::Builder::new().prefix("load-").tempdir_in(WORKING_DISK)?)
}

/// The store in the folder of a daemon.
pub(crate) fn store(folder: &Path) -> PathBuf {
    folder.join("taskwright.db")
}

/// Fails unless `taskwright fsck` finds nothing wrong with the store in the folder of a daemon.
pub(crate) fn fsck(folder: &Path) -> Result<(), Failure> {
    let config = folder.join("config.toml");
    let fsck = Command::new(BINARY).args(["fsck", "--config"]).arg(config).stdin(Stdio::null()).output()?;
    if !fsck.status.success() {
        let said = String::from_utf8_lossy(&fsck.stdout) + String::from_utf8_lossy(&fsck.stderr);
        return Err(format!("fsck of the store: {}\n{}", fsck.status, said.get(..2000).unwrap_or(&said)).into());
    }
    Ok(())
}

/// The hash of the client's token, as the configuration has it.
fn token_hash() -> String {
    Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time that a process has run on the cores so far.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    // proc_pid_stat(5): utime and stime are the 14th and 15th field, in ticks of 10 ms; the name before may hold anything.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').ok_or("an unreadable stat")?.1;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Sends a signal; by the shell, whose `kill` is built in, for not every machine has the program.
pub(crate) fn signal(name: &str, pid: u32) -> Result<ExitStatus, Failure> {
    Ok(Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status()?)
}

/// One GET on a connection of its own; the whole reply, head included.
fn request(to: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
