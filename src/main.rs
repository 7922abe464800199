//! The daemon with the handlers that it ships, and its command line.

/// A start takes some hundred allocations on four threads, most of them freed on another one: this allocator does that
/// in half of the time that glibc's takes. Without huge pages (`no_thp`): they would double an idle daemon's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    taskwright::cli::run_shipped()
}
