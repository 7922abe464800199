//! How much is tested: the short lane runs with every change, the long one before an issue is resolved.

/// `long` in the long lane (`TASKWRIGHT_LONG=1`, set by `scripts/test --long`), else `short`.
pub fn count(short: u32, long: u32) -> u32 {
    if std::env::var_os("TASKWRIGHT_LONG").is_some() { long } else { short }
}

/// The seed of this run: `TASKWRIGHT_SEED`, or a new one. Printed, so that a failure can be repeated.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("TASKWRIGHT_SEED").ok().map(|seed| seed.parse().expect("TASKWRIGHT_SEED is a number"));
    let seed = given.unwrap_or_else(|| uuid::Uuid::now_v7().as_u128() as u64);
    println!("{test}: repeat with TASKWRIGHT_SEED={seed}");
    seed
}

/// Ends the test with the reason where it needs root and there is none, but for `--skip-privileged`: then it says so
/// and answers false.
pub fn is_privileged() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(
        std::env::var_os("TASKWRIGHT_SKIP_PRIVILEGED").is_some(),
        "this test needs root: run it as root, or leave such tests out with scripts/test --skip-privileged"
    );
    eprintln!("SKIPPED: this test needs root");
    false
}
