//! The file system turns read-only, as it does after an error of its device.

use rustix::process::Signal;

use crate::{
    lane,
    load::Load,
    mounts::Disk,
    support::{
        server::{Surroundings, TestServer, command},
        wait_for,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_turns_read_only_loses_nothing() {
    if !lane::is_privileged() {
        return;
    }
    let disk = Disk::new();
    let surroundings = Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Default::default() };
    let mut server = TestServer::within("", &[], surroundings).await;
    let load = Load::begin(&server, 4);
    load.acknowledges(50).await;
    // Stopped in that moment, as in `power_cut`: a sync that is under way meanwhile may be answered as if it had worked.
    server.signal(Signal::STOP);
    tokio::task::block_in_place(|| disk.abort());
    server.signal(Signal::CONT);
    let probe = disk.path().join("probe");
    assert!(std::fs::write(&probe, "x").is_err(), "it can still be written");
    let status = wait_for("the end of the daemon", async || server.has_ended()).await;
    let told = load.end().await;
    assert_eq!(status.code(), Some(1), "{}", server.stderr());
    assert!(told.refused.keys().all(|status| *status == 503), "{:?}", told.refused);

    // The next one says why it does not start.
    let output = command()
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(server.config())
        .args(["--database", &server.database_url()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("cannot open the store") && !said.contains("panicked"), "{said}");

    tokio::task::block_in_place(|| {
        disk.unmount();
        disk.repair();
        disk.mount();
    });
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}
