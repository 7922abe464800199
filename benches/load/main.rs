//! The load benchmark: bare axum and Taskwright in turn, in one run, on one machine.
//!
//! `cargo bench --bench load` prints one table. Both servers are processes of their own, get the same bytes from the
//! same client, and take turns in every round, so that a noisy machine disturbs both alike. The client shares the
//! machine's cores with the server it measures. Options measure other things in place of the table: `-- --idle` what
//! the daemon costs when it has nothing to do, `-- --commands` commands against a bare loop, `-- --progress` what
//! reports of handlers cost, `-- --million` a store of a million instances, `-- --inputs` what large inputs write;
//! `-- --all` everything. Where there is a floor, it stands beside the figure.

mod again;
mod bare;
mod client;
mod commands;
mod daemon;
mod disk;
mod floor;
mod handlers;
mod idle;
mod inputs;
mod load;
mod million;
mod progress;
mod table;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Parser;

/// A failure with its story told in one line; the benchmark ends at the first.
type Failure = Box<dyn Error + Send + Sync>;

/// Measure bare axum and Taskwright in turn and print one table.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Options {
    /// Take short measurements and few rounds: for a look, not for a figure to publish.
    #[arg(long)]
    quick: bool,
    /// Measure everything.
    #[arg(long)]
    all: bool,
    /// Report memory, wake-ups and start-up time of an idle daemon instead.
    #[arg(long)]
    idle: bool,
    /// Measure commands against a bare loop of the same program instead.
    #[arg(long)]
    commands: bool,
    /// Measure what the progress reports of handlers cost instead.
    #[arg(long)]
    progress: bool,
    /// Measure requests to a store of a million done instances against one of a thousand instead.
    #[arg(long)]
    million: bool,
    /// Measure what instances with large inputs write to the store's log instead.
    #[arg(long)]
    inputs: bool,
    /// Connection counts, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Vec<u16>,
    /// How long one measurement lasts, in seconds.
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// How often what is compared takes turns.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Handlers that may run at once in the daemon (`worker.local_slots`).
    #[arg(long, default_value_t = 256)]
    slots: u32,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the bare axum server: the benchmark starts itself again with this.
    #[arg(long, hide = true)]
    serve_bare: bool,
    /// Be the application with handlers, on this store.
    #[arg(long, hide = true)]
    serve_handlers: Option<String>,
}

impl Options {
    /// How long one measurement lasts, in seconds, where it is not said.
    fn length(&self, quick: f64, full: f64) -> Duration {
        self.seconds.unwrap_or(Duration::from_secs_f64(if self.quick { quick } else { full }))
    }

    fn rounds(&self) -> u8 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.1..=60.0).contains(&value) => Ok(Duration::from_secs_f64(value)),
        _ => Err("give a number of seconds from 0.1 to 60".to_owned()),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.serve_bare {
        bare::serve()
    } else if let Some(store) = &options.serve_handlers {
        handlers::serve(store)
    } else if !options.bench {
        // `cargo test --benches` runs this without `--bench`; a measurement of a debug build would only mislead.
        println!("nothing measured: run it with `cargo bench --bench load`");
        Ok(())
    } else {
        measure(&options)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What the options ask for: the comparison, if nothing else.
fn measure(options: &Options) -> Result<(), Failure> {
    let chosen = [options.idle, options.commands, options.progress, options.million, options.inputs];
    if options.all || !chosen.contains(&true) {
        compare(options)?;
    }
    if options.all || options.idle {
        idle::report()?;
    }
    if options.all || options.commands {
        commands::report(options.length(1.0, 3.0), options.rounds())?;
    }
    if options.all || options.progress {
        progress::report(options.length(3.0, 10.0))?;
    }
    if options.all || options.million {
        million::report(options.quick)?;
    }
    if options.all || options.inputs {
        inputs::report(options.quick)?;
    }
    Ok(())
}

fn compare(options: &Options) -> Result<(), Failure> {
    let (length, rounds) = (options.length(0.5, 2.0), options.rounds());
    // Whatever else runs here takes from both servers, but not evenly: the table says how much there was.
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let bare = bare::start_server()?;
    let mut groups = Vec::new();
    let mut facts = None;
    for &connections in &options.connections {
        // A store of its own for every connection count: no figure depends on the order of the others.
        let daemon = daemon::Daemon::start(options.slots)?;
        facts.get_or_insert_with(|| daemon.facts());
        let mut group = table::Group::new(connections);
        for round in 1..=rounds {
            eprintln!("{connections} connections, round {round} of {rounds}");
            group.push(load::round(&bare, &daemon, connections, length, round == 1)?);
        }
        daemon.stop()?;
        groups.push(group);
    }
    table::print(&groups);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = busy.split_whitespace().next().unwrap_or("unknown");
    println!(
        "{cores} cores, shared with the load client (load average before: {load}); {} local slots; medians of {rounds} \
         rounds of {} s; bodies of 256 bytes",
        options.slots,
        length.as_secs_f64()
    );
    println!("/readyz?verbose of the measured daemon:");
    for fact in facts.unwrap_or_default().lines() {
        println!("  {fact}");
    }
    Ok(())
}
