//! Backups under load, each restored and looked through: every start that was acknowledged before it began is in it.

use std::{fs, path::Path, time::Duration};

use crate::{
    lane,
    load::{Load, Told},
    support::server::{TestServer, command, run},
};

#[tokio::test]
async fn each_backup_under_load_restores_to_all_that_was_acknowledged() {
    let mut server = TestServer::start().await;
    // 200 a second, as far as the machine keeps up.
    let load = Load::paced(&server, 8, Duration::from_millis(40));
    for n in 0..lane::count(3, 20) {
        load.acknowledges(100).await;
        let before = load.so_far();
        let target = server.folder().join(format!("{n}.db"));
        let (from, to) = (server.database_url(), target.clone());
        let output = tokio::task::spawn_blocking(move || {
            command().args(["backup", "--database", &from]).arg(&to).output().expect("the binary runs")
        });
        let output = output.await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = run(&["fsck", "--database", &format!("sqlite://{}", target.display())]);
        assert!(found.status.success() && found.stdout.is_empty(), "{found:?}");
        let lost = lost_by_restoring(&target, &before).await;
        assert!(lost.is_empty(), "backup {n}: {lost:#?}");
        println!("backup {n}: {} starts acknowledged before it are in it", before.acknowledged.len());
    }
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unanswered == 0, "{:?}", told.refused);
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

/// The control: a mere copy of the file lacks what is still in the log.
#[tokio::test]
async fn control_a_copy_of_the_file_alone_is_noticed() {
    let server = TestServer::start().await;
    let load = Load::begin(&server, 8);
    load.acknowledges(100).await;
    let before = load.so_far();
    let target = server.folder().join("copy.db");
    fs::copy(server.database(), &target).unwrap();
    load.end().await;
    assert!(!lost_by_restoring(&target, &before).await.is_empty());
    server.fsck();
}

/// What of `told` is not there once a daemon runs on the backup.
async fn lost_by_restoring(backup: &Path, told: &Told) -> Vec<String> {
    let mut restored = TestServer::start().await;
    assert!(restored.stop().await.success());
    fs::copy(backup, restored.database()).unwrap();
    restored.restart().await;
    let lost = told.lost_by(&restored).await;
    assert!(restored.stop().await.success());
    restored.fsck();
    lost
}
