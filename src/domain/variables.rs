//! The environment variables by which a daemon tells the programs that it runs what they are to do.

/// Whose process it is: the store's tag.
pub const STORE: &str = "TASKWRIGHT_STORE";
/// Where to report.
pub const URL: &str = "TASKWRIGHT_URL";
/// As whom: the attempt's own token.
pub const TOKEN: &str = "TASKWRIGHT_TOKEN";
/// For which instance.
pub const INSTANCE: &str = "NUMEROUS_TASK_INSTANCE_ID";
/// The file with the inputs.
pub const INPUT_FILE: &str = "TASKWRIGHT_INPUT_FILE";
/// The inputs themselves, as base64.
pub const INPUT_DATA: &str = "TASK_DATA_INPUT";
/// The file for the output.
pub const OUTPUT_FILE: &str = "TASKWRIGHT_OUTPUT_FILE";
/// Where the package `numerous` reports.
pub const NUMEROUS_URL: &str = "NUMEROUS_API_URL";
/// As whom: the attempt's own token too.
pub const NUMEROUS_TOKEN: &str = "NUMEROUS_API_ACCESS_TOKEN";
/// For which organization.
pub const NUMEROUS_ORGANIZATION: &str = "NUMEROUS_ORGANIZATION_ID";
/// For which deployment.
pub const NUMEROUS_DEPLOYMENT: &str = "NUMEROUS_DEPLOYMENT_ID";
