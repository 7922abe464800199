//! What daemon, spawner and supervisor say to each other.
//!
//! Every message is one record on a sequenced-packet socket, so it arrives whole or not at all:
//!
//! | from → to | record | descriptors |
//! |---|---|---|
//! | spawner → daemon | [`HELLO`], once | |
//! | daemon → spawner | [`HIRE`]: fork a supervisor | its control socket |
//! | supervisor → daemon | [`Reply`]: `Hired`, once; then for each command the first that is true of `Refused`, `Failed`, `Started`, how it ended; after `Started` how it ended too | |
//! | daemon → supervisor | [`Request`] with the command, when it has nothing to do | stdout, stderr; a memory file with the command where that is long |
//! | spawner → daemon | `Failed` where it cannot fork, `Lost` once nothing is left of a supervisor that died; on that one's control socket | |
//! | daemon → supervisor | [`TERMINATE`]; the end of the stream means: kill everything | |

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;

use super::command::Command;

/// What a spawner says when it is ready. The number goes up with each change of these records.
pub(super) const HELLO: &[u8] = b"taskwright spawner 3";
/// Asks the spawner for a supervisor.
pub(super) const HIRE: &[u8] = b"H";
/// Asks a supervisor for SIGTERM to the program's process group.
pub(super) const TERMINATE: &[u8] = b"T";
/// The most bytes that a command (directory, arguments, environment) may take.
pub(super) const MAX_COMMAND: usize = 8 * 1024 * 1024;

/// Which step of a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The spawner could not fork a supervisor, or the supervisor could not take the command.
    Supervisor,
    /// The working directory could not be entered.
    Directory,
    /// The program was not found.
    Lookup,
    /// The program was found and the kernel refused to execute it.
    Exec,
}

/// A supervisor's word to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// A new supervisor is ready for a command.
    Hired { supervisor: i32 },
    /// The command was not begun, for the spawner is gone: ask somebody else.
    Refused,
    /// The program runs, and not just for a moment: of one that ends sooner only the end is told.
    Started { program: i32 },
    /// It does not, and nothing is left of the attempt to start it.
    Failed { step: Step, errno: i32 },
    /// The program has exited by itself with this code, and nothing is left.
    Exited { program: i32, code: i32 },
    /// The program was ended by this signal, and nothing is left.
    Signalled { program: i32, signal: i32 },
    /// The spawner or the supervisor died and everything was killed.
    Lost,
}

impl Reply {
    /// The length of a record.
    pub(super) const LENGTH: usize = 9;

    /// The record.
    pub(super) fn encode(self) -> [u8; Self::LENGTH] {
        let (tag, first, second) = match self {
            Reply::Hired { supervisor } => (b'H', supervisor, 0),
            Reply::Refused => (b'R', 0, 0),
            Reply::Started { program } => (b'S', program, 0),
            Reply::Failed { step, errno } => (
                b'F',
                match step {
                    Step::Supervisor => 0,
                    Step::Directory => 1,
                    Step::Lookup => 2,
                    Step::Exec => 3,
                },
                errno,
            ),
            Reply::Exited { program, code } => (b'X', program, code),
            Reply::Signalled { program, signal } => (b'K', program, signal),
            Reply::Lost => (b'L', 0, 0),
        };
        let mut record = [tag; Self::LENGTH];
        record[1..5].copy_from_slice(&first.to_ne_bytes());
        record[5..9].copy_from_slice(&second.to_ne_bytes());
        record
    }

    /// The word in a record; `None` if it is no such record.
    pub(super) fn decode(record: &[u8]) -> Option<Reply> {
        let record: &[u8; Self::LENGTH] = record.try_into().ok()?;
        let [tag, a, b, c, d, e, f, g, h] = *record;
        let first = i32::from_ne_bytes([a, b, c, d]);
        let second = i32::from_ne_bytes([e, f, g, h]);
        Some(match tag {
            b'H' => Reply::Hired { supervisor: first },
            b'R' => Reply::Refused,
            b'S' => Reply::Started { program: first },
            b'F' => Reply::Failed {
                step: match first {
                    0 => Step::Supervisor,
                    1 => Step::Directory,
                    2 => Step::Lookup,
                    3 => Step::Exec,
                    _ => return None,
                },
                errno: second,
            },
            b'X' => Reply::Exited { program: first, code: second },
            b'K' => Reply::Signalled { program: first, signal: second },
            b'L' => Reply::Lost,
            _ => return None,
        })
    }
}

/// The head of a command: how what follows it is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Bytes that follow.
    pub length: u32,
    /// Number of arguments, the program's name included.
    pub arguments: u32,
    /// Number of variables.
    pub variables: u32,
}

impl Request {
    /// The length of the head.
    pub(super) const LENGTH: usize = 12;
    /// The longest record, far below what a socket's queue takes: a longer command stands in a memory file.
    pub(super) const LONGEST: usize = 32 * 1024;

    /// The head.
    fn encode(self) -> [u8; Self::LENGTH] {
        let mut record = [0; Self::LENGTH];
        record[0..4].copy_from_slice(&self.length.to_ne_bytes());
        record[4..8].copy_from_slice(&self.arguments.to_ne_bytes());
        record[8..12].copy_from_slice(&self.variables.to_ne_bytes());
        record
    }

    /// The head of a record and what follows it there; `None` if it is no such record.
    pub(super) fn decode(record: &[u8]) -> Option<(Request, &[u8])> {
        let (head, rest) = record.split_first_chunk::<{ Self::LENGTH }>()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *head;
        let request = Request {
            length: u32::from_ne_bytes([a, b, c, d]),
            arguments: u32::from_ne_bytes([e, f, g, h]),
            variables: u32::from_ne_bytes([i, j, k, l]),
        };
        Some((request, rest))
    }
}

/// Why a command cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No process can have this; says why.
    Malformed(&'static str),
    /// It is larger than [`MAX_COMMAND`].
    TooLarge,
}

/// The command as a head and NUL-terminated strings: directory, arguments, `NAME=value`.
pub(super) fn encode(command: &Command) -> Result<Vec<u8>, Unfit> {
    if command.argv.is_empty() {
        return Err(Unfit::Malformed("it names no program"));
    }
    let mut bytes = Vec::with_capacity(4096);
    bytes.extend_from_slice(&[0; Request::LENGTH]);
    let mut put = |parts: &[&OsStr], fault| {
        for part in parts {
            if part.as_bytes().contains(&0) {
                return Err(Unfit::Malformed(fault));
            }
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.push(0);
        if bytes.len() > MAX_COMMAND { Err(Unfit::TooLarge) } else { Ok(()) }
    };
    put(&[command.directory.as_os_str()], "the working directory holds a NUL byte")?;
    for argument in &command.argv {
        put(&[argument], "an argument holds a NUL byte")?;
    }
    for (name, value) in &command.env {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(Unfit::Malformed("the name of a variable is empty or holds '='"));
        }
        put(&[name, OsStr::new("="), value], "a variable of the environment holds a NUL byte")?;
    }
    // Both counts are below MAX_COMMAND, for each string takes a byte.
    let request = Request {
        length: (bytes.len() - Request::LENGTH) as u32,
        arguments: command.argv.len() as u32,
        variables: command.env.len() as u32,
    };
    bytes[..Request::LENGTH].copy_from_slice(&request.encode());
    Ok(bytes)
}

/// A command as a supervisor reads it: slices of what followed the head.
pub(super) struct Decoded<'a> {
    pub directory: &'a CStr,
    pub argv: Vec<&'a CStr>,
    pub env: Vec<&'a CStr>,
}

/// Cuts what followed a head; `None` if it does not hold what that says.
pub(super) fn decode(request: Request, bytes: &[u8]) -> Option<Decoded<'_>> {
    let mut strings = bytes.split_inclusive(|byte| *byte == 0);
    let mut next = || CStr::from_bytes_with_nul(strings.next()?).ok();
    let directory = next()?;
    let argv: Option<Vec<_>> = (0..request.arguments).map(|_| next()).collect();
    let env: Option<Vec<_>> = (0..request.variables).map(|_| next()).collect();
    let (argv, env) = (argv?, env?);
    (next().is_none() && !argv.is_empty()).then_some(Decoded { directory, argv, env })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(argv: &[&str], env: &[(&str, &str)]) -> Command {
        Command {
            argv: argv.iter().map(Into::into).collect(),
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            directory: "/tmp".into(),
        }
    }

    #[test]
    fn a_command_comes_out_as_it_went_in() {
        let record = encode(&command(&["echo", "", "a b"], &[("A", ""), ("B", "x=y")])).expect("fits");
        let (request, bytes) = Request::decode(&record).expect("a head");
        assert_eq!(request.length as usize, bytes.len());
        let decoded = decode(request, bytes).expect("a command");
        assert_eq!(decoded.directory, c"/tmp");
        assert_eq!(decoded.argv, [c"echo", c"", c"a b"]);
        assert_eq!(decoded.env, [c"A=", c"B=x=y"]);
    }

    #[test]
    fn what_no_process_can_have_is_refused() {
        assert_eq!(encode(&command(&[], &[])).err(), Some(Unfit::Malformed("it names no program")));
        assert_eq!(encode(&command(&["a\0b"], &[])).err(), Some(Unfit::Malformed("an argument holds a NUL byte")));
        assert_eq!(
            encode(&command(&["a"], &[("A=B", "")])).err(),
            Some(Unfit::Malformed("the name of a variable is empty or holds '='"))
        );
        let large = "x".repeat(MAX_COMMAND);
        assert_eq!(encode(&command(&["a", &large], &[])).err(), Some(Unfit::TooLarge));
    }

    #[test]
    fn a_head_that_promises_more_than_there_is_is_refused() {
        let record = encode(&command(&["a"], &[("A", "b")])).expect("fits");
        let (request, bytes) = Request::decode(&record).expect("a head");
        assert!(decode(Request { variables: 2, ..request }, bytes).is_none());
        assert!(decode(Request { variables: 0, ..request }, bytes).is_none());
        assert!(Request::decode(&[0; 11]).is_none());
    }

    #[test]
    fn every_reply_survives_its_record() {
        let steps = [Step::Supervisor, Step::Directory, Step::Lookup, Step::Exec];
        let failed = steps.map(|step| Reply::Failed { step, errno: -7 });
        let others = [
            Reply::Hired { supervisor: 6 },
            Reply::Refused,
            Reply::Started { program: 7 },
            Reply::Exited { program: 7, code: 255 },
            Reply::Signalled { program: 7, signal: 9 },
            Reply::Lost,
        ];
        for reply in failed.into_iter().chain(others) {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Reply::decode(&[b'?'; Reply::LENGTH]), None);
    }
}
