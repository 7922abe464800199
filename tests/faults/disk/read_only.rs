//! The file system turns read-only, as it does after an error of its device.

use rustix::process::Signal;

use crate::{
    lane,
    load::{Load, Told},
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
    let (mut server, told) = ended_by_an_abort(&disk, "").await;
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

    mend(&disk);
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

/// The control: what was acknowledged without having been synced is found to be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_file_system_that_turns_read_only_loses_what_was_not_synced() {
    if !lane::is_privileged() {
        return;
    }
    let disk = Disk::new();
    let (mut server, told) = ended_by_an_abort(&disk, "[database]\nsynchronous = \"off\"\n").await;
    mend(&disk);
    server.restart().await;
    let lost = told.lost_by(&server).await;
    println!("{} of {} starts lost", lost.len(), told.acknowledged.len());
    assert!(!lost.is_empty());
}

/// A daemon on `disk` that has met the abort of the file system, and what it has said until its end.
async fn ended_by_an_abort(disk: &Disk, config: &str) -> (TestServer, Told) {
    let surroundings = Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Default::default() };
    let mut server = TestServer::within(config, &[], surroundings).await;
    let load = Load::begin(&server, 4);
    load.acknowledges(50).await;
    // Stopped in that moment, as in `power_cut`: a sync that is under way meanwhile may be answered as if it had worked.
    server.signal(Signal::STOP);
    tokio::task::block_in_place(|| disk.abort());
    server.signal(Signal::CONT);
    let probe = disk.path().join("probe");
    assert!(std::fs::write(&probe, "x").is_err(), "it can still be written");
    let status = wait_for("the end of the daemon", async || server.has_ended()).await;
    assert_eq!(status.code(), Some(1), "{}", server.stderr());
    (server, load.end().await)
}

fn mend(disk: &Disk) {
    tokio::task::block_in_place(|| {
        disk.unmount();
        disk.repair();
        disk.mount();
    });
}
