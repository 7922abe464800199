//! What attempts themselves say: commands write to a log outside the store when they begin, go on and end.

use std::{fmt::Write as _, fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tempfile::TempDir;

/// Says that it begins, goes on for some beats, and ends. With `flaky`, half of the attempts fail.
const SCRIPT: &str = r#"
say() { echo "$NUMEROUS_TASK_INSTANCE_ID $TASKWRIGHT_TOKEN $$ $1" >>"$ATTEMPTS"; }
say begin
beats=$1
while [ "$beats" -gt 0 ]; do
    sleep 0.02
    say beat
    beats=$((beats - 1))
done
say end
[ "$2" = flaky ] && [ $(($$ % 2)) = 0 ] && exit 7
exit 0
"#;

/// The folder of a test: the tasks that its load starts, what they say, and the history.
pub struct Workplace {
    folder: TempDir,
}

impl Default for Workplace {
    fn default() -> Self {
        Workplace::new()
    }
}

impl Workplace {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("work.sh"), SCRIPT).expect("the script can be written");
        fs::write(folder.path().join("attempts"), "").expect("the log can be written");
        Workplace { folder }
    }

    /// A configuration that begins with `text` and has the tasks that a load starts: `work`, `flaky` and `waits`.
    pub fn config(&self, text: &str) -> String {
        let mut config = text.to_owned();
        let (script, log) = (self.folder.path().join("work.sh"), self.log());
        for (name, beats, how) in [("work", 4, "sure"), ("flaky", 2, "flaky"), ("waits", 30, "sure")] {
            let _ = write!(
                config,
                "\n[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"{}\", \"{beats}\", \"{how}\"]\n\
                 env = {{ ATTEMPTS = \"{}\" }}\nmax_attempts = 4\nretry_delay = \"50ms\"\n",
                script.display(),
                log.display(),
            );
        }
        config
    }

    /// Where the history is written.
    pub fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("attempts")
    }

    /// What was said from this byte on, and where the next look begins.
    pub fn said(&self, from: usize) -> (Vec<Said>, usize) {
        let text = fs::read(self.log()).expect("the log can be read");
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let new = String::from_utf8_lossy(&text[from.min(end)..end]);
        (new.lines().filter_map(Said::parse).collect(), end)
    }
}

/// One line of what attempts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The instance.
    pub id: String,
    /// The attempt.
    pub attempt: u32,
    /// The process.
    pub pid: i32,
    /// `begin`, `beat` or `end`.
    pub word: String,
    /// The attempt's token.
    pub token: String,
}

impl Said {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, token, pid, word) = (words.next()?, words.next()?, words.next()?, words.next()?);
        // The token names the attempt, after the 16 bytes of the instance.
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix("twa_")?).ok()?;
        let attempt = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?);
        Some(Said {
            id: id.to_owned(),
            attempt,
            pid: pid.parse().ok()?,
            word: word.to_owned(),
            token: token.to_owned(),
        })
    }
}
