//! Control groups of a test's own: what a service manager gives a daemon and all it starts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A group. Dropped, everything in it is killed, and it is removed.
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// A group with limits of one controller, each by its name in version 1 and in version 2.
    pub fn new(controller: &str, limits: &[(&str, &str, &str)]) -> Cgroup {
        let first = Path::new("/sys/fs/cgroup").join(controller);
        let second = Path::new("/sys/fs/cgroup");
        let is_first = first.join("cgroup.procs").exists();
        let root = if is_first { first } else { second.to_owned() };
        assert!(root.join("cgroup.procs").exists(), "this test needs control groups, and {} has none", root.display());
        if !is_first {
            // Given on already, most often.
            let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let group = Cgroup { folder: root.join(format!("taskwright-test-{}", uuid::Uuid::now_v7().simple())) };
        fs::create_dir(&group.folder).unwrap();
        for (name1, name2, value) in limits {
            let name = if is_first { name1 } else { name2 };
            fs::write(group.folder.join(name), value).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        group
    }

    /// What a program is started through so that it runs in the group.
    pub fn through(&self) -> Vec<String> {
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        let list = self.folder.join("cgroup.procs");
        ["sh", "-c", script, list.to_str().unwrap()].map(str::to_owned).to_vec()
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let list = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < deadline {
            for pid in self.processes() {
                let pid = rustix::process::Pid::from_raw(pid);
                // It may have ended by itself.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
            // Whoever was killed is in it until it has ended.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
