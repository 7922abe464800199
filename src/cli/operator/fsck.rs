//! `fsck`: everything wrong that the store can show.

use std::{
    io::{self, Write},
    path::Path,
};

use crate::{
    cli::{
        Program, ansi,
        args::operator::Fsck,
        catalog,
        failure::{FAILURE, Failure},
        print, runtime,
    },
    config::{Config, Sources},
    domain::error::chain,
    engine::Catalog,
    store::{Checked, Finding, Store, StoreError, sqlite::SqliteStore},
};

pub(super) fn run(program: Program<'_>, fsck: Fsck) -> Result<(), Failure> {
    let no = |message: String| Failure::new(FAILURE, message);
    let mut sources = Sources::of_process(fsck.file.config);
    if let Some(url) = fsck.database.database {
        sources.flags.push(("database", "url", url, "--database"));
    }
    let config = Config::load(&sources).map_err(|error| no(chain(&error)))?;
    SqliteStore::recognise(&config.store.path).map_err(|error| no(chain(&error)))?;
    // What is wrong with the configuration is no fault of the store.
    let catalog = catalog(program, &config).or_else(|_| Catalog::new(Vec::new(), Vec::new()));
    let catalog = catalog.map_err(|error| no(chain(&error)))?;
    let Checked { findings, instances } = runtime()?.block_on(async {
        let store = SqliteStore::open_for_check(&config.store.path).await.map_err(|error| no(chain(&error)))?;
        let checked = check(&store, catalog).await.map_err(|error| no(chain(&error)));
        store.close().await;
        checked
    })?;
    for finding in &findings {
        print::line(&ansi::plain(&match finding.instance {
            Some(number) => format!("instance {number}: {}", finding.detail),
            None => finding.detail.clone(),
        }))?;
    }
    if !findings.is_empty() {
        return Err(Failure::silent(FAILURE));
    }
    // On stderr: stdout has what is wrong. Nobody may read it.
    let _ =
        writeln!(io::stderr(), "nothing wrong: {instances} instance{} checked", if instances == 1 { "" } else { "s" });
    Ok(())
}

/// Everything wrong with the store, and with its definitions as a daemon of this configuration would take them.
async fn check(store: &SqliteStore, mut catalog: Catalog) -> Result<Checked, StoreError> {
    let mut checked = store.check().await?;
    match store.definitions().await {
        Ok(definitions) => {
            for definition in definitions {
                if let Err(error) = catalog.add_registered(vec![definition], Path::new("/")) {
                    checked.findings.push(Finding { instance: None, detail: error.to_string() });
                }
            }
        }
        // What cannot be read was told of.
        Err(_) if !checked.findings.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok(checked)
}
