//! Looking a program up and executing it, in a supervisor.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::ptr;

use super::sys;
use super::wire::{Decoded, Step};

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// Sixteen-byte words of the stack of a [`become_program`], which calls nothing but the kernel: 64 KiB is plenty.
const STACK: usize = 4096;

/// Starts programs.
pub(super) struct Launcher {
    /// Where a child runs until its exec. Aligned as every ABI wants a stack.
    stack: Box<[MaybeUninit<u128>]>,
}

impl Launcher {
    pub(super) fn new() -> Launcher {
        Launcher { stack: Box::new_uninit_slice(STACK) }
    }

    /// Starts the program in its directory and in a process group of its own, with `stdout` and `stderr`, the standard
    /// input and the signal dispositions of this process and no signal blocked. Returns its pid.
    ///
    /// Nothing is executed where one of `bounds` has something to be read or has ended: [`Unstarted::Unwanted`].
    ///
    /// Every other descriptor of this process must be close-on-exec, and every signal blocked.
    pub(super) fn start(
        &mut self,
        command: &Decoded<'_>,
        streams: [BorrowedFd<'_>; 2],
        bounds: [BorrowedFd<'_>; 2],
    ) -> Result<libc::pid_t, Unstarted> {
        let candidates = candidates(command).map_err(|error| Unstarted::Failed(Step::Lookup, error))?;
        let paths = pointers(candidates.iter().map(CString::as_c_str));
        let (argv, env) = (pointers(command.argv.iter().copied()), pointers(command.env.iter().copied()));
        let mut launch = Launch {
            directory: command.directory.as_ptr(),
            paths: paths.as_ptr(),
            argv: argv.as_ptr(),
            env: env.as_ptr(),
            is_path: command.argv[0].to_bytes().contains(&b'/'),
            streams: streams.map(|stream| stream.as_raw_fd()),
            bounds: bounds.map(|bound| libc::pollfd { fd: bound.as_raw_fd(), events: libc::POLLIN, revents: 0 }),
            signals: sys::no_signals(),
            failure: None,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child runs on a stack of its own, which nobody else uses: this thread stands still until the child
        // has executed a program or ended (CLONE_VFORK), and this process has no other. `launch` and all that it points to
        // live that long. The child shares memory only: its descriptors, directory and signal mask are copies.
        let pid = unsafe {
            let top = self.stack.as_mut_ptr_range().end;
            libc::clone(become_program, top.cast(), flags, (&raw mut launch).cast())
        };
        if pid < 0 {
            return Err(Unstarted::Failed(Step::Exec, io::Error::last_os_error()));
        }
        // SAFETY: a plain read of a value that lives. The child has written it behind the compiler's back.
        match unsafe { ptr::read_volatile(&raw const launch.failure) } {
            None => Ok(pid),
            Some(failure) => {
                sys::wait_for(pid);
                Err(match failure {
                    Failure::Unwanted => Unstarted::Unwanted,
                    Failure::At(step, errno) => Unstarted::Failed(step, io::Error::from_raw_os_error(errno)),
                })
            }
        }
    }
}

/// Why a program was not executed.
pub(super) enum Unstarted {
    /// Whoever wanted it is gone.
    Unwanted,
    /// A step failed.
    Failed(Step, io::Error),
}

/// The files that may be meant: the name itself if it has a `/`, else one in each folder of the command's own `PATH`.
fn candidates(command: &Decoded<'_>) -> io::Result<Vec<CString>> {
    let name = command.argv[0].to_bytes();
    if name.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if name.contains(&b'/') {
        return Ok(vec![command.argv[0].to_owned()]);
    }
    let path =
        command.env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .map(|folder| {
            // An empty entry means the working directory.
            let folder = if folder.is_empty() { b".".as_slice() } else { folder };
            Ok(CString::new([folder, b"/", name].concat())?)
        })
        .collect()
}

/// The strings as exec takes them, with a null at the end.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const libc::c_char> {
    strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// What a child needs to become a program. Every string ends with a NUL, every list with a null.
struct Launch {
    directory: *const libc::c_char,
    paths: *const *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    /// The one path is the name itself.
    is_path: bool,
    streams: [RawFd; 2],
    bounds: [libc::pollfd; 2],
    signals: libc::sigset_t,
    failure: Option<Failure>,
}

/// What the child could not do.
#[derive(Clone, Copy)]
enum Failure {
    Unwanted,
    /// With its errno.
    At(Step, libc::c_int),
}

/// The child of [`Launcher::start`], between clone and exec. `posix_spawn` does the same with two system calls more for
/// each signal there is.
///
/// It shares the memory of a process that stands still meanwhile, so it allocates nothing, takes no lock and unwinds
/// nothing.
extern "C" fn become_program(launch: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes a pointer to a `Launch` that it does not touch until this child is gone.
    let launch = unsafe { &mut *launch.cast::<Launch>() };
    launch.failure = Some(execute(launch));
    127
}

/// Returns only when it fails.
fn execute(launch: &mut Launch) -> Failure {
    // The number of an error is a field of `io::Error`, not an allocation.
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    // SAFETY: plain system calls. All pointers come from `start`, which keeps what they point to.
    unsafe {
        if libc::dup2(launch.streams[0], 1) < 0 || libc::dup2(launch.streams[1], 2) < 0 {
            return Failure::At(Step::Supervisor, errno());
        }
        if libc::chdir(launch.directory) < 0 {
            return Failure::At(Step::Directory, errno());
        }
        libc::setpgid(0, 0);
        // Here and not before: a directory behind a network may keep us waiting for as long as it likes.
        if libc::poll(launch.bounds.as_mut_ptr(), launch.bounds.len() as libc::nfds_t, 0) != 0 {
            return Failure::Unwanted;
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const launch.signals, ptr::null_mut());
    }
    // A file that is there and not executable tells more than its absence elsewhere.
    let mut failure = Failure::At(Step::Lookup, libc::ENOENT);
    let mut next = launch.paths;
    // SAFETY: as above; the list of paths ends with a null.
    unsafe {
        while !(*next).is_null() {
            let path = *next;
            libc::execve(path, launch.argv, launch.env);
            match errno() {
                // The file is there, so it is its interpreter that is not.
                libc::ENOENT if libc::access(path, libc::F_OK) == 0 => {
                    return Failure::At(Step::Exec, libc::ENOENT);
                }
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => failure = Failure::At(Step::Lookup, libc::EACCES),
                // A folder of the `PATH` that cannot be looked into hides no other.
                libc::ELOOP | libc::ENAMETOOLONG | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT | libc::EIO
                    if !launch.is_path => {}
                other => return Failure::At(Step::Exec, other),
            }
            next = next.add(1);
        }
    }
    failure
}
