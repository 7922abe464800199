//! A full memory: scratch directories are made on the disk then.

use std::{fs::File, path::PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use serde_json::json;

use crate::{
    lane,
    support::server::{Surroundings, TestServer},
};

/// Just enough of it that scratch directories are made there.
const MEMORY: &str = "mount -t tmpfs -o size=257m none /dev/shm && exec \"$@\"";

#[tokio::test]
async fn commands_run_on_where_memory_is_full() {
    if !lane::is_privileged() {
        return;
    }
    let config = "[[tasks]]\nname = \"where\"\n\
                  command = [\"sh\", \"-c\", 'echo \"\\\"$TASKWRIGHT_INPUT_FILE\\\"\" > \"$TASKWRIGHT_OUTPUT_FILE\"']\n";
    let through = ["unshare", "-m", "sh", "-c", MEMORY, "sh", "env", "-u", "TMPDIR"].map(str::to_owned).to_vec();
    let mut server = TestServer::within(config, &[], Surroundings { through, ..Surroundings::default() }).await;
    let place = async || {
        let instance = server.start_task("where", json!({})).await;
        let done = server.wait_done(&instance["number"]).await;
        assert_eq!(done["status"], "completed", "{done}");
        done["result"].as_str().expect("a path").to_owned()
    };
    assert!(place().await.starts_with("/dev/shm/"));

    // Its memory is its own: the machine's is not touched.
    let memory = PathBuf::from(format!("/proc/{}/root/dev/shm", server.pid()));
    let rest = File::create(memory.join("rest")).expect("a file in it");
    let mut size = 257 << 20;
    while size > 0 && fallocate(&rest, FallocateFlags::empty(), 0, size).is_err() {
        size -= 4096;
    }
    assert!(place().await.starts_with("/tmp/"));
    rest.set_len(0).expect("emptied");
    assert!(place().await.starts_with("/dev/shm/"));
    server.stop().await;
}
