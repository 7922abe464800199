//! This benchmark again, as a server in a process of its own.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use crate::Failure;

/// A server that is a child process. It ends with this value.
#[derive(Debug)]
pub(crate) struct Again {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Again {
    /// Starts this program with `arguments`, which make it call [`tell`].
    pub(crate) fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(|_| "the server did not say where it listens")?;
        Ok(Again { child, address })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the child: ends when standard input closes, which it does when the benchmark ends, however it ends.
pub(crate) fn end_with_the_benchmark() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// In the child: says where it listens.
pub(crate) fn tell(address: SocketAddr) -> Result<(), Failure> {
    println!("{address}");
    std::io::stdout().flush()?;
    Ok(())
}
