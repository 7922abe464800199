#![no_main]
//! The configuration: the first line is the value of a variable, the rest a file.

use taskwright::config::{Config, Sources};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (variable, file) = text.split_once('\n').unwrap_or(("", text));
    let Ok(table) = file.parse::<toml::Table>() else { return };
    for name in ["TASKWRIGHT__TOKENS", "TASKWRIGHT_SERVER__LISTEN", "TASKWRIGHT_LIMITS__BODY"] {
        let mut sources = Sources { preset: Some(table.clone()), ..Sources::default() };
        if !variable.is_empty() && !variable.contains('\0') {
            sources.variables.insert(name.into(), variable.into());
        }
        match Config::load(&sources) {
            Ok(config) => {
                // A refusal to listen is no fault, whatever was read.
                let _ = config.check_exposure();
                assert!(config.max_connections >= 1 && config.streams >= 1);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
