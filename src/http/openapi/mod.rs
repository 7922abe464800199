//! placeholder
use super::{Response, call::Call, problem::Problem};
pub(super) async fn yaml(_call: &mut Call) -> Result<Response, Problem> {
    Err(Problem::internal(String::new()))
}
pub(super) async fn json(_call: &mut Call) -> Result<Response, Problem> {
    Err(Problem::internal(String::new()))
}

/// The contract as YAML.
pub fn document_yaml() -> String {
    String::new()
}

/// The contract as JSON.
pub fn document_json() -> String {
    String::new()
}
