//! What an operator asks beside the daemon: `config check`, `openapi`, `healthcheck`, `fsck`.

use super::{
    Program,
    args::{ConfigFile, DocumentFormat, Fsck, Healthcheck, Openapi},
    failure::{FAILURE, Failure, USAGE},
    print, runtime,
};
use crate::{
    client::Client,
    config::{Config, Sources, reachable},
    domain::{duration, error::chain},
    http,
    store::{Store, sqlite::SqliteStore},
};

pub(super) fn check(program: Program<'_>, file: ConfigFile) -> Result<(), Failure> {
    let config = Config::load(&Sources::of_process(file.config))?;
    config.check_exposure()?;
    let definitions = super::catalog(program, &config)?.iter().count();
    let place = config.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    print::line(&format!("{place}: valid; {definitions} tasks, {} tokens", config.tokens.len()))
}

pub(super) fn openapi(openapi: &Openapi) -> Result<(), Failure> {
    print::all(&match openapi.format {
        DocumentFormat::Yaml => http::openapi::document_yaml(),
        DocumentFormat::Json => http::openapi::document_json(),
    })
}

pub(super) fn healthcheck(healthcheck: Healthcheck) -> Result<(), Failure> {
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

pub(super) fn fsck(fsck: Fsck) -> Result<(), Failure> {
    let no = |message: String| Failure::new(FAILURE, message);
    let mut sources = Sources::of_process(fsck.file.config);
    if let Some(url) = fsck.database.database {
        sources.flags.push(("database", "url", url, "--database"));
    }
    let config = Config::load(&sources).map_err(|error| no(chain(&error)))?;
    SqliteStore::recognise(&config.store.path).map_err(|error| no(chain(&error)))?;
    let findings = runtime()?.block_on(async {
        let store = SqliteStore::open_for_check(&config.store.path).await.map_err(|error| no(chain(&error)))?;
        let findings = store.check().await.map_err(|error| no(chain(&error)));
        store.close().await;
        findings
    })?;
    for finding in &findings {
        print::line(&match finding.instance {
            Some(number) => format!("instance {number}: {}", finding.detail),
            None => finding.detail.clone(),
        })?;
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::silent(FAILURE)) }
}
