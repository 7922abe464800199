//! The daemon with the handlers that it ships, and its command line.

fn main() -> std::process::ExitCode {
    taskwright::cli::run_shipped()
}
