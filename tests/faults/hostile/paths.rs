//! Paths that lead out of the folders which `checksum` may read: nothing outside is read, however it is spelt.

use std::{
    collections::BTreeSet,
    fs,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::inotify;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{api::Api, assert_well, hex};
use crate::lane;

/// A folder that may be read, and one beside it that may not, which tells when it is looked into.
struct Folders {
    all: TempDir,
    watch: OwnedFd,
}

const SECRET: &str = "what nobody may read";

impl Folders {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let path = |name: &str| all.path().join(name);
        fs::create_dir_all(path("open/sub/deep")).unwrap();
        fs::create_dir_all(path("closed/sub")).unwrap();
        // Names that begin as the open one does.
        fs::create_dir(path("open-not")).unwrap();
        fs::write(path("open/a"), "a").unwrap();
        fs::write(path("open/sub/b"), "b").unwrap();
        fs::write(path("open/%2e%2e"), "a name with percent signs").unwrap();
        for secret in ["closed/secret", "closed/sub/secret", "open-not/secret", "secret"] {
            fs::write(path(secret), SECRET).unwrap();
        }
        let link = |target: &str, name: &str| symlink(target, path(name)).unwrap();
        link("../closed", "open/relative");
        link("../closed/secret", "open/file");
        link("sub/../../closed", "open/winding");
        link("relative", "open/chain");
        link("chain", "open/longer");
        link(path("closed").to_str().unwrap(), "open/absolute");
        link("..", "open/sub/up");
        link("/", "open/root");
        link("/proc/self/root", "open/proc");
        link("loop", "open/loop");
        link("nowhere", "open/dangling");
        // And in again: that is inside.
        link("../open/sub", "closed/in");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        for closed in
            ["closed", "closed/sub", "open-not", "closed/secret", "closed/sub/secret", "open-not/secret", "secret"]
        {
            inotify::add_watch(&watch, path(closed), inotify::WatchFlags::ACCESS | inotify::WatchFlags::OPEN).unwrap();
        }
        Folders { all, watch }
    }

    fn config(&self, root: &str) -> String {
        format!("[handlers.checksum]\nroots = [\"{}\"]\n", self.all.path().join(root).display())
    }

    /// Whether anything was opened or read outside since this was last asked: what, as bits of `IN_*`.
    fn looked_into(&self) -> inotify::ReadFlags {
        let mut seen = inotify::ReadFlags::empty();
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(&self.watch, &mut buffer);
        while let Ok(event) = events.next() {
            seen |= event.events();
        }
        seen
    }
}

/// Many spellings of ways out.
fn spellings(folders: &Path) -> BTreeSet<String> {
    let dots = [
        "..",
        "../",
        "./..",
        ".//..",
        "../.",
        "..//",
        "..;",
        "..\\",
        "%2e%2e",
        "%252e%252e",
        "..%00",
        "..%c0%af",
        "\u{2025}",
        "\u{ff0e}\u{ff0e}",
        "..\u{0}",
        ".. ",
        " ..",
        "...",
        "....//",
        "sub/../..",
        "sub/deep/../../..",
        "sub/up/..",
        "nothing/../..",
        "a/..",
        "a/../..",
    ];
    let ends = [
        "closed/secret",
        "closed/sub/secret",
        "closed",
        "closed/",
        "closed/.",
        "open-not/secret",
        "open-not",
        "secret",
        "",
        ".",
        "closed/in/../secret",
        "CLOSED/SECRET",
    ];
    let mut spellings = BTreeSet::new();
    for dots in dots {
        for end in ends {
            spellings.insert(format!("{dots}/{end}"));
            spellings.insert(format!("sub/../{dots}/{end}"));
        }
        spellings.insert(dots.to_owned());
    }
    let base = folders.display();
    for end in ends {
        for prefix in ["", "/proc/self/root", "/proc/thread-self/root", "//", "/./", "/.."] {
            spellings.insert(format!("{prefix}{base}/{end}"));
            spellings.insert(format!("{prefix}{base}/open/../{end}"));
            spellings.insert(format!("file://{base}/{end}"));
        }
        for link in [
            "relative",
            "winding",
            "chain",
            "longer",
            "absolute",
            "sub/up/../closed",
            "sub/up/..",
            "root",
            "proc",
            "loop",
            "dangling",
        ] {
            spellings.insert(format!("{link}/{}", end.trim_start_matches("closed/")));
            spellings.insert(format!("{link}/{end}"));
            spellings.insert(format!("{link}{base}/{end}"));
        }
    }
    for whole in [
        "file",
        "relative",
        "winding",
        "chain",
        "longer",
        "absolute",
        "root",
        "proc",
        "loop",
        "dangling",
        "root/etc/passwd",
        "proc/etc/passwd",
        "/",
        "/etc",
        "/etc/passwd",
        "/dev/stdin",
        "/dev/fd/0",
        "/proc/self/environ",
        "/proc/self/cmdline",
        "/proc/self/mem",
        "/dev/zero",
        "/dev/random",
        "-",
        "~",
        "~/.ssh",
        "$HOME",
        "|cat /etc/passwd",
        "\\\\localhost\\share",
        "C:\\",
        "http://localhost/",
        "",
    ] {
        spellings.insert(whole.to_owned());
    }
    spellings.insert("../".repeat(2000) + "etc/passwd");
    spellings.insert("a".repeat(5000));
    spellings.insert("a/".repeat(3000));
    spellings
}

/// The end of a checksum of `path`; None where the start was refused.
async fn checksum(api: &Api, path: &str) -> Option<Value> {
    let body = json!({"path": path}).to_string();
    let answer = api.post("/v1/definitions/checksum/instances?wait", &body).await;
    match answer.status {
        201 => Some(answer.json()),
        400 | 422 => None,
        other => panic!("{path:?}: {other} {}", answer.text),
    }
}

/// The ways that led out.
async fn ways_out(api: &Api, folders: &Folders) -> Vec<String> {
    let secret = hex(&Sha256::digest(SECRET));
    let inside = folders.all.path().join("open").canonicalize().unwrap();
    let mut found = Vec::new();
    folders.looked_into();
    for path in spellings(folders.all.path()) {
        let Some(instance) = checksum(api, &path).await else { continue };
        let seen = folders.looked_into();
        if !seen.is_empty() {
            found.push(format!("{path:?} looked outside: {seen:?}"));
        }
        if instance["output"]["digest"] == secret.as_str() {
            found.push(format!("{path:?} read the secret"));
        }
        let may = inside.join(&path).canonicalize().is_ok_and(|real| real.starts_with(&inside));
        if (instance["status"] == "completed") != may {
            found.push(format!("{path:?} is {} with {}", instance["status"], instance["error"]));
        }
    }
    found
}

#[tokio::test]
async fn hostile_no_spelling_of_a_path_leads_out_of_its_folder() {
    let folders = Folders::new();
    let count = spellings(folders.all.path()).len();
    assert!(count >= 500, "{count}");
    let api = Api::with_config(&folders.config("open")).await;
    let found = ways_out(&api, &folders).await;
    assert!(found.is_empty(), "{} of {count}: {found:#?}", found.len());
    // What is outside is told the same whether it is there or not.
    let outside = async |name: &str| {
        let path = folders.all.path().join(name).display().to_string();
        let error = checksum(&api, &path).await.unwrap()["error"].clone();
        error["message"].as_str().unwrap().replace(&path, "it")
    };
    assert_eq!(outside("closed/secret").await, outside("closed/nothing").await);
    assert_well(&api.server).await;
}

/// A folder that becomes a link while it is read.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_a_folder_that_becomes_a_link_leads_nowhere() {
    let folders = Folders::new();
    let api = Api::with_config(&folders.config("open")).await;
    let flip = folders.all.path().join("open/flip");
    let aside = folders.all.path().join("open/aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("secret"), "nothing secret").unwrap();
    let done = AtomicBool::new(false);
    let flips = std::thread::scope(|scope| {
        let flipping = scope.spawn(|| {
            let mut flips = 0_u32;
            while !done.load(Ordering::Relaxed) {
                fs::rename(&aside, &flip).unwrap();
                fs::rename(&flip, &aside).unwrap();
                symlink("../closed", &flip).unwrap();
                fs::remove_file(&flip).unwrap();
                flips += 1;
            }
            flips
        });
        let read = async {
            let secret = hex(&Sha256::digest(SECRET));
            let mut seen = BTreeSet::new();
            for n in 0..lane::count(600, 10_000) {
                let path = ["flip/secret", "flip", "flip/sub/secret"][n as usize % 3];
                let instance = checksum(&api, path).await.unwrap();
                assert_ne!(instance["output"]["digest"], secret.as_str(), "{path}");
                seen.insert(instance["status"].as_str().unwrap().to_owned());
            }
            seen
        };
        let outcome = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read));
        done.store(true, Ordering::Relaxed);
        assert!(outcome.contains("failed"), "{outcome:?}: it was never met as a link");
        flipping.join().unwrap()
    });
    assert!(flips > 100, "{flips}");
    // A folder that became a link may have been opened before that was seen; nothing in it was read.
    let seen = folders.looked_into();
    assert!(!seen.contains(inotify::ReadFlags::ACCESS), "{seen:?}");
    assert_well(&api.server).await;
}

/// Negative control: where more may be read than should be, that is noticed.
#[tokio::test]
async fn hostile_control_a_way_out_is_noticed() {
    let folders = Folders::new();
    let api = Api::with_config(&folders.config(".")).await;
    let found = ways_out(&api, &folders).await;
    for sign in ["looked outside", "read the secret", "is \"completed\""] {
        assert!(found.iter().any(|found| found.contains(sign)), "{sign}: {found:#?}");
    }
}
