//! taskwright
fn main() {
    taskwright::process::run_if_spawner();
}
