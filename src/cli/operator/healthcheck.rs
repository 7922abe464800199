//! `healthcheck`: whether the daemon lives, for a supervisor.

use crate::{
    cli::{
        args::operator::Healthcheck,
        failure::{FAILURE, Failure, USAGE},
        runtime,
    },
    client::Client,
    config::{Config, Sources, reachable},
    domain::{duration, error::chain},
};

pub(super) fn run(healthcheck: Healthcheck) -> Result<(), Failure> {
    let patience = duration::parse(&healthcheck.timeout).ok().filter(|patience| !patience.is_zero());
    let patience = patience.ok_or_else(|| Failure::new(USAGE, "--timeout must be a duration above 0, such as 3s"))?;
    // Every other answer than "it lives" is the one that a supervisor acts on.
    let no = |message: String| Failure::new(FAILURE, message);
    let url = match healthcheck.url {
        Some(url) => url,
        None => {
            let config =
                Config::load(&Sources::of_process(healthcheck.file.config)).map_err(|error| no(chain(&error)))?;
            if config.listen.port() == 0 {
                return Err(no("server.listen has port 0, so the port is not known: give --url".to_owned()));
            }
            format!("http://{}", reachable(config.listen))
        }
    };
    let client = Client::new(&url).map_err(|error| no(chain(&error)))?.with_patience(patience);
    let path = if healthcheck.ready { "/readyz" } else { "/livez" };
    runtime()?.block_on(client.probe(path)).map_err(|error| no(chain(&error)))
}
