//! File systems of a test's own, which can be filled, cut off or made unwritable without harm to anything else.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Pid;
use tempfile::TempDir;

/// Runs a program that must succeed. Answers what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{printed}", output.status);
    printed
}

/// A small file system in memory. Dropped, it is unmounted.
pub struct Memory {
    folder: TempDir,
}

impl Memory {
    /// One that holds so much, such as `16m`.
    pub fn holding(size: &str) -> Memory {
        let folder = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "taskwright-test", text(folder.path())]);
        Memory { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        unmount_somehow(self.folder.path());
    }
}

/// An ext4 in a file, mounted through a loop device. Dropped, it is unmounted, which gives the device back.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A new one.
    pub fn new() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk { folder };
        std::fs::create_dir(disk.path()).unwrap();
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(256 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(&disk.image())]);
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Mounts it; the journal is replayed.
    pub fn mount(&self) {
        run("mount", &["-o", "loop,errors=remount-ro", text(&self.image()), text(&self.path())]);
    }

    /// Unmounts it.
    pub fn unmount(&self) {
        run("umount", &[text(&self.path())]);
    }

    /// Cuts the power of a machine on which this process ran: it does nothing more, and nothing reaches the disk that is
    /// not there yet, not even the journal. What is only in the page cache is lost with the next unmount.
    ///
    /// The process is stopped first, a few microseconds before, for a sync that is on its way just then may answer that
    /// all is well although its data never arrives. No power cut does that: whoever could hear it is dead too.
    pub fn cut(&self, pid: Pid) {
        // EXT4_IOC_SHUTDOWN, that is _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let program = "import fcntl, os, struct, sys; \
            disk = os.open(sys.argv[1], os.O_RDONLY); \
            how = struct.pack('I', 2); \
            os.kill(int(sys.argv[2]), 19); \
            fcntl.ioctl(disk, 0x8004587d, how)";
        run("python3", &["-c", program, text(&self.path()), &pid.as_raw_nonzero().to_string()]);
    }

    /// Makes it unwritable as the kernel does after an error of the device.
    pub fn abort(&self) {
        // The remount itself is refused by some kernels once the file system is aborted.
        let _ = Command::new("mount").args(["-o", "remount,abort", text(&self.path())]).output();
    }

    /// Repairs the unmounted file system, as a machine does when it starts.
    pub fn repair(&self) {
        // 1: something was mended.
        let output = Command::new("e2fsck").args(["-p", text(&self.image())]).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    }

    /// Asserts that the unmounted file system is sound.
    pub fn is_sound(&self) {
        run("e2fsck", &["-f", "-n", text(&self.image())]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount_somehow(&self.path());
    }
}

/// Unmounts what may be in use still, or not be mounted at all.
fn unmount_somehow(path: &Path) {
    let _ = Command::new("umount").args(["-l", text(path)]).output();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
