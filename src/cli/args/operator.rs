//! The verbs of an operator, beside the daemon or as the daemon: what they take and what `--help` teaches of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Subcommand)]
pub(in crate::cli) enum OperatorVerb {
    /// Run the daemon.
    ///
    /// Every key of the configuration file can be given as a variable too: TASKWRIGHT_SECTION__KEY, such as
    /// TASKWRIGHT_SERVER__LISTEN; TASKWRIGHT_SECTION__KEY_FILE reads the value from a file. Flags win over variables,
    /// variables over the file.
    #[command(after_long_help = SERVE_HELP)]
    Serve(Serve),
    /// Check the configuration, or show it.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Make the tokens that clients of other machines need.
    #[command(subcommand)]
    Token(TokenVerb),
    /// Print the HTTP contract as an OpenAPI 3.1 document.
    Openapi(Openapi),
    /// Ask the daemon of this configuration whether it lives.
    ///
    /// Exits 0 if it does, 1 if not. With --ready it must also take work: a daemon that drains, or whose store cannot
    /// be written, does not.
    Healthcheck(Healthcheck),
    /// Look for everything wrong that the store can show.
    ///
    /// Prints one finding a line. Exits 0 if there is none, else 1. Changes nothing, and works beside a running daemon.
    Fsck(Fsck),
    /// Copy the store into one file, beside a running daemon or without one.
    ///
    /// The copy is of one moment and holds every start that was acknowledged before. It is synced to disk before this
    /// exits; `taskwright serve --database sqlite://FILE` takes it as it is. It holds inputs, outputs and the key of the
    /// store, so only its owner may read it.
    #[command(after_long_help = BACKUP_HELP)]
    Backup(Backup),
}

const SERVE_HELP: &str = "\
Exit codes:
  0    ended in good order, after SIGTERM or SIGINT (Ctrl-C)
  1    the store failed for good
  69   the port or the store is in use; the store is newer, damaged or something else
  78   the configuration is wrong
  130  a second SIGINT; 143 a second SIGTERM

Examples:
  taskwright serve --demo
  taskwright serve --config ./config.toml
  TASKWRIGHT_WORKER__COMMAND_SLOTS=16 taskwright serve --listen 127.0.0.1:9000";

const BACKUP_HELP: &str = "\
Exit codes:
  0   the backup is on the disk
  1   it could not be written; no file of that name was made or changed
  2   the file belongs to the store itself
  69  there is no store, or it is newer, damaged or something else
  78  the configuration is wrong

Examples:
  taskwright backup /var/backups/taskwright.db
  taskwright backup --force --database sqlite:///srv/tasks.db nightly.db";

/// Where the configuration is.
#[derive(Args)]
pub(in crate::cli) struct ConfigFile {
    /// Read this configuration file. Default: $TASKWRIGHT_CONFIG, then /etc/taskwright/config.toml or
    /// ~/.config/taskwright/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The store, where another than the configured one is meant.
#[derive(Args)]
pub(in crate::cli) struct Database {
    /// Keep everything in this database: sqlite:///absolute/path.db [env: TASKWRIGHT_DATABASE__URL] [default:
    /// ~/.local/state/taskwright/taskwright.db; as root /var/lib/taskwright/taskwright.db]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

/// The flags that win over variables and file.
#[derive(Args)]
pub(in crate::cli) struct Overrides {
    /// Listen here; port 0 takes a free one [env: TASKWRIGHT_SERVER__LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    #[command(flatten)]
    pub database: Database,
    /// Write the log as text or json [env: TASKWRIGHT_LOG__FORMAT] [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Log from this level on, or by directives such as info,taskwright::http=debug [env: TASKWRIGHT_LOG__LEVEL]
    /// [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

#[derive(Args)]
pub(in crate::cli) struct Serve {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Try it out: a temporary store that is removed at the end, and sample tasks. Reads no configuration file.
    #[arg(long, conflicts_with_all = ["config", "database"])]
    pub demo: bool,
}

#[derive(Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Check the configuration and the tasks without starting anything. Exits 0 if `serve` would take it, else 78.
    Check(ConfigFile),
    /// Print the configuration as `serve` would take it, secrets hidden.
    ///
    /// Every key, also those that nobody has set. The hash of a token, the value of a variable in a task's `env` and what
    /// looks like a secret among a handler's settings are replaced. Exits 78 if the configuration is wrong.
    #[command(after_help = SHOW_HELP)]
    Show(ConfigShow),
}

const SHOW_HELP: &str = "\
Examples:
  taskwright config show --origin
  taskwright config show --origin | grep -v '# default'
  taskwright config show -o json | jq .server.listen";

#[derive(Args)]
pub(in crate::cli) struct ConfigShow {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Say of each value where it comes from: default, the file, a variable or a flag.
    #[arg(long)]
    pub origin: bool,
    /// Print it in this form.
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t = ShowFormat::Toml)]
    pub output: ShowFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(in crate::cli) enum ShowFormat {
    Toml,
    Json,
}

#[derive(Subcommand)]
pub(in crate::cli) enum TokenVerb {
    /// Make a token and its block for the configuration.
    ///
    /// Prints the token, which is written down nowhere else, to stdout, and the [[tokens]] block, which holds only its
    /// hash, to stderr.
    #[command(after_help = TOKEN_HELP)]
    Create(TokenCreate),
}

const TOKEN_HELP: &str = "\
Scopes; a later one holds those before it:
  read   see tasks, instances, logs, metrics
  run    start, stop, retry, report
  admin  change definitions

Example: the token goes to a file of its own; put the block that is shown into the configuration, and restart the daemon.
  (umask 077; taskwright token create ci --scopes run > ci.token)
  curl -H \"Authorization: Bearer $(cat ci.token)\" 'http://127.0.0.1:8080/v1/instances'";

#[derive(Args)]
pub(in crate::cli) struct TokenCreate {
    /// Whose token it is: for people and the log. Must be new in the configuration.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What its bearer may do: read, run, admin, or several with commas.
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
    pub scopes: Vec<String>,
    #[command(flatten)]
    pub file: ConfigFile,
}

#[derive(Args)]
pub(in crate::cli) struct Openapi {
    /// Print it in this form.
    #[arg(long, value_enum, default_value_t = DocumentFormat::Yaml)]
    pub format: DocumentFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(in crate::cli) enum DocumentFormat {
    Yaml,
    Json,
}

#[derive(Args)]
pub(in crate::cli) struct Healthcheck {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Ask this daemon instead of the configured one.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Ask whether it takes work, not only whether it lives.
    #[arg(long)]
    pub ready: bool,
    /// Wait so long for the answer.
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    pub timeout: String,
}

#[derive(Args)]
pub(in crate::cli) struct Fsck {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub database: Database,
}

#[derive(Args)]
pub(in crate::cli) struct Backup {
    /// The file to be made.
    #[arg(value_name = "FILE")]
    pub target: PathBuf,
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub database: Database,
    /// Replace FILE if it exists.
    #[arg(long)]
    pub force: bool,
}
