//! `fsck`: everything wrong that the store can show.

use crate::{
    cli::{
        args::operator::Fsck,
        failure::{FAILURE, Failure},
        print, runtime,
    },
    config::{Config, Sources},
    domain::error::chain,
    store::{Store, sqlite::SqliteStore},
};

pub(super) fn run(fsck: Fsck) -> Result<(), Failure> {
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
