//! `token create`: a new secret on stdout, and on stderr what goes into the configuration.

use std::io::{self, Write};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    cli::{
        args::operator::TokenCreate,
        failure::{FAILURE, Failure, USAGE},
        print,
    },
    config::{Config, Sources, Token, tokens},
    http::Scope,
};

pub(super) fn create(create: TokenCreate) -> Result<(), Failure> {
    let name = create.name;
    tokens::check_name(&name).map_err(|detail| Failure::new(USAGE, format!("the name of a token {detail}")))?;
    let mut scopes: Vec<Scope> = Vec::new();
    for word in &create.scopes {
        let scope = tokens::scope(word.trim()).map_err(|detail| Failure::new(USAGE, format!("--scopes: {detail}")))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    refuse_a_name_in_use(&name, create.file.config)?;

    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| Failure::new(FAILURE, format!("the system gives no random numbers: {error}")))?;
    let token = format!("tw_{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    // The block first: a token whose block nobody has seen would be of no use.
    let block = format!(
        "# Into the configuration. The token itself, on stdout, is kept nowhere else.\n{}",
        Token::block(&name, &token, &scopes)
    );
    io::stderr()
        .lock()
        .write_all(block.as_bytes())
        .map_err(|error| Failure::new(FAILURE, format!("cannot write the block to stderr: {error}")))?;
    print::line(&token)
}

/// A token can be made before there is a configuration, and by somebody who may not read it; so only a file that was
/// asked for must be right.
fn refuse_a_name_in_use(name: &str, file: Option<std::path::PathBuf>) -> Result<(), Failure> {
    let asked = file.is_some();
    match Config::load(&Sources::of_process(file)) {
        Ok(config) if config.tokens.iter().any(|token| token.name == name) => {
            Err(Failure::new(USAGE, format!("the configuration has a token `{name}` already: choose another name")))
        }
        Err(error) if asked => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}
