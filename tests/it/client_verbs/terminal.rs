//! On a real terminal: bars, tables, colour, questions, Ctrl-C.

use std::{
    fs,
    io::{Read, Write},
    num::NonZeroU16,
    process::Child,
    sync::{Arc, Mutex, PoisonError},
};

use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};

use super::{Shell, TASKS, begun};
use crate::support::{
    server::{BINARY, TestServer},
    wait_for,
};

/// A verb on a terminal of its own.
struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    /// Everything that was written, escape sequences too.
    written: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
}

impl Terminal {
    fn open(shell: &Shell, line: &str, columns: u16, more: &[(&str, &str)]) -> Terminal {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, columns)).unwrap();
        let words = line.split_whitespace();
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = shell.environment().into_iter().chain([("PATH", path)]);
        let command = Command::new(BINARY).args(words).env_clear().envs(environment).envs(more.iter().copied());
        let child = command.spawn(pts).unwrap();
        let (pty, written) = (Arc::new(pty), Arc::<Mutex<Vec<u8>>>::default());
        let (reader, sink) = (Arc::clone(&pty), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last program has gone answers with an error.
            while let Ok(count) = (&*reader).read(&mut buffer) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
                if count == 0 {
                    break;
                }
            }
        });
        Terminal { child, pty, written, size: (24, columns) }
    }

    fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// What stands on the screen now.
    fn screen(&self) -> String {
        let size = |number: u16| NonZeroU16::new(number).unwrap();
        let mut parser = vt100::Parser::new(size(self.size.0), size(self.size.1), 0);
        parser.process(self.bytes().as_bytes());
        parser.screen().contents()
    }

    async fn shows(&self, text: &str) -> String {
        wait_for(&format!("{text:?} on the screen"), async || {
            let screen = self.screen();
            screen.contains(text).then_some(screen)
        })
        .await
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    async fn ended(&mut self, code: i32) {
        let status = wait_for("the end of the verb", async || self.child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(code), "{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the screen:\n{}\nwritten: {:?}", self.screen(), self.bytes());
        }
    }
}

async fn report(server: &TestServer, number: u64, progress: f64, message: &str) {
    let body = serde_json::json!({ "progress": progress, "message": message });
    let url = server.url(&format!("/v1/instances/{number}/progress"));
    assert!(server.client().put(url).json(&body).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn run_draws_a_bar_below_the_log_and_clears_it() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for columns in [40, 120] {
        let _ = fs::remove_file(server.folder().join("go"));
        let mut terminal = Terminal::open(&shell, "run gate", columns, &[]);
        // As long as it says nothing there is no bar, and the time goes on.
        terminal.shows("begun").await;
        let screen = terminal.shows("gate running").await;
        let number: u64 = screen.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(!screen.contains('━') && !screen.contains('%'), "{screen}");
        report(&server, number, 0.5, "halfway through the work that there is").await;
        let screen = terminal.shows("50 %").await;
        assert!(screen.contains('━') && screen.contains("begun"), "{screen}");
        // It takes one line, however narrow the terminal is.
        let below = screen.split("begun").nth(1).unwrap().trim_end();
        assert_eq!(below.trim_start_matches('\n').lines().count(), 1, "{screen}");
        assert_eq!(screen.contains("halfway through the work that there is"), columns == 120, "{screen}");
        fs::write(server.folder().join("go"), "").unwrap();
        terminal.ended(0).await;
        let screen = terminal.shows(&format!("completed {number} in")).await;
        assert!(!screen.contains('━') && screen.contains("begun\nopened"), "{screen}");
    }
}

#[tokio::test]
async fn ctrl_c_says_how_to_stop_the_task() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let mut terminal = Terminal::open(&shell, "run gate", 120, &[]);
    terminal.shows("begun").await;
    terminal.press("\x03");
    terminal.ended(130).await;
    terminal.shows("Stop it: taskwright stop 1").await;
    assert_eq!(server.get(1).await["status"], "running");
    let mut stopping = Terminal::open(&shell, "run gate --stop-on-interrupt", 120, &[]);
    stopping.shows("begun").await;
    stopping.press("\x03");
    stopping.ended(130).await;
    stopping.shows("2 is cancelled").await;
    shell.run("stop --all -y --force --wait").ended(0);
}

#[tokio::test]
async fn a_list_is_a_table_with_colours_unless_they_are_not_wanted() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start fail --wait").ended(1);
    shell.run(&format!("start greet --wait --label note:{}", "x".repeat(200))).ended(0);
    for (columns, more, line, is_coloured) in [
        (120, None, "ps -a", true),
        (40, None, "ps -a", true),
        (120, Some(("NO_COLOR", "1")), "ps -a", false),
        (120, Some(("TERM", "dumb")), "ps -a", false),
        (120, None, "ps -a --color never", false),
        (120, Some(("NO_COLOR", "1")), "ps -a --color always", true),
    ] {
        let mut terminal = Terminal::open(&shell, line, columns, more.as_slice());
        terminal.ended(0).await;
        let screen = terminal.shows("failed").await;
        assert_eq!(terminal.bytes().contains("\x1b["), is_coloured, "{line} {more:?}: {:?}", terminal.bytes());
        assert!(screen.contains("NUMBER") || columns == 40, "{screen}");
        let rows: Vec<_> = screen.lines().filter(|row| !row.is_empty()).collect();
        assert_eq!(rows.len(), 3, "a row takes one line:\n{screen}");
        assert!(columns == 40 || screen.contains(" ago"), "{screen}");
    }
    for line in ["status 1", "tasks", "tasks resize", "wait 2"] {
        let mut terminal = Terminal::open(&shell, line, 120, &[]);
        terminal.ended(0).await;
    }
}

#[tokio::test]
async fn a_log_keeps_its_colours_and_cannot_steer_the_terminal() {
    let config = r#"
[[tasks]]
name = "paint"
command = ["sh", "-c", "printf '\\033[31mred\\033[0m \\033[2J\\033]0;owned\\007after\\n'"]
"#;
    let server = TestServer::with_config(config).await;
    let shell = Shell::at(&server);
    shell.run("start paint --wait").ended(0);
    assert_eq!(
        shell.run("logs 1").ended(0).out,
        "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;owned\x07after\n",
        "into a pipe as it is"
    );
    let mut terminal = Terminal::open(&shell, "logs 1", 80, &[]);
    terminal.ended(0).await;
    terminal.shows("red after").await;
    assert_eq!(terminal.bytes(), "\x1b[31mred\x1b[0m after\x1b[0m\r\n");
    let mut plain = Terminal::open(&shell, "logs 1", 80, &[("NO_COLOR", "1")]);
    plain.ended(0).await;
    plain.shows("red after").await;
    assert_eq!(plain.bytes(), "red after\r\n");
}

#[tokio::test]
async fn a_stop_of_many_asks_first() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate --delay 1h").ended(0);
    for (answer, code, status) in
        [("\n", 1, "pending"), ("n\n", 1, "pending"), ("\x03", 130, "pending"), ("y\n", 0, "cancelled")]
    {
        let mut terminal = Terminal::open(&shell, "stop --all", 80, &[]);
        terminal.shows("Stop 1 instance? [y/N]").await;
        terminal.press(answer);
        terminal.ended(code).await;
        assert_eq!(server.get(1).await["status"], status);
    }
}

#[tokio::test]
async fn watch_is_a_table_that_is_redrawn() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let mut terminal = Terminal::open(&shell, "watch", 100, &[]);
    terminal.shows("nothing is pending or running").await;
    shell.run("start gate").ended(0);
    shell.run("start gate --delay 1h").ended(0);
    begun(&server, 1).await;
    report(&server, 1, 0.3, "a third").await;
    let screen = terminal.shows("30 %").await;
    assert!(screen.contains("1 running   gate") && screen.contains("a third"), "{screen}");
    terminal.shows("2 pending   gate").await;
    fs::write(server.folder().join("go"), "").unwrap();
    let screen = terminal.shows("1 completed gate in").await;
    assert!(!screen.contains("30 %"), "{screen}");
    terminal.press("\x03");
    terminal.ended(130).await;
    shell.run("stop 2").ended(0);
    let mut ended = Terminal::open(&shell, "watch 1 2", 100, &[]);
    ended.ended(3).await;
    ended.shows("2 cancelled gate").await;
}

#[tokio::test]
async fn serve_says_what_to_do_next() {
    let shell = Shell::alone();
    let mut terminal = Terminal::open(&shell, "serve --demo --listen 127.0.0.1:0", 160, &[]);
    let screen = terminal.shows("End it with Ctrl-C").await;
    for word in
        ["listens on http://127.0.0.1:", "dashboard  http://127.0.0.1:", "data ", "tasks ", "sleep", "curl --json"]
    {
        assert!(screen.contains(word), "{word} is not in\n{screen}");
    }
    terminal.press("\x03");
    terminal.ended(0).await;
}
