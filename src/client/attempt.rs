//! One attempt, reported for over HTTP: what `taskwright report` and [`RemoteTaskController`](super::RemoteTaskController)
//! send.

use ::http::Method;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

use super::{Client, ClientError, Receipt, segment};
use crate::domain::Json;

/// Speaks for one instance. Which attempt it means is in the client's token.
#[derive(Clone)]
pub struct AttemptClient {
    client: Client,
    path: String,
}

/// What stands fixed while an attempt runs.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptFacts {
    /// The instance.
    pub id: Uuid,
    /// Its short number.
    pub number: u64,
    /// Its task.
    pub task_id: String,
    /// The attempt that runs.
    pub attempt: u32,
    /// What it works on.
    pub inputs: Json,
}

impl AttemptClient {
    /// Reports for `instance`, its UUID or number, through `client`.
    pub fn new(client: Client, instance: &str) -> AttemptClient {
        AttemptClient { client, path: format!("/v1/instances/{}", segment(instance)) }
    }

    /// Reads what there is to know about it.
    ///
    /// # Errors
    /// [`ClientError`]; late is a [`ClientError::Refused`] whose [`is_late`](super::Refusal::is_late) holds. So for all
    /// calls here.
    pub async fn facts(&self) -> Result<AttemptFacts, ClientError> {
        #[derive(Deserialize)]
        struct Instance {
            id: Uuid,
            number: u64,
            task_id: String,
            attempt: u32,
            inputs: Box<RawValue>,
        }
        let instance: Instance = self.client.call(Method::GET, &self.path, None).await?;
        let Instance { id, number, task_id, attempt, inputs } = instance;
        Ok(AttemptFacts { id, number, task_id, attempt, inputs: Json::from(inputs) })
    }

    /// Sets the progress and its message.
    ///
    /// # Errors
    /// As for [`facts`](AttemptClient::facts).
    pub async fn progress(&self, value: f64, message: Option<&str>) -> Result<Receipt, ClientError> {
        self.put("progress", json!({ "progress": value, "message": message }).to_string()).await
    }

    /// Sets the output, an object or null.
    ///
    /// # Errors
    /// As for [`facts`](AttemptClient::facts).
    pub async fn output(&self, output: &Json) -> Result<Receipt, ClientError> {
        self.put("output", output.as_str().to_owned()).await
    }

    /// States how it ends: `completed`, `failed`, `cancelled`; `running` takes that back.
    ///
    /// # Errors
    /// As for [`facts`](AttemptClient::facts).
    pub async fn status(&self, status: &str, message: Option<&str>) -> Result<Receipt, ClientError> {
        self.put("status", json!({ "status": status, "message": message }).to_string()).await
    }

    /// Adds lines to its log; none at all only asks whether to stop.
    ///
    /// # Errors
    /// As for [`facts`](AttemptClient::facts).
    pub async fn log<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Result<Receipt, ClientError> {
        let lines: Vec<_> = lines.into_iter().map(|text| json!({ "text": text })).collect();
        self.client
            .call(Method::POST, &format!("{}/logs", self.path), Some(json!({ "lines": lines }).to_string()))
            .await
    }

    /// Asks the instance to stop.
    ///
    /// # Errors
    /// As for [`facts`](AttemptClient::facts).
    pub async fn stop(&self) -> Result<(), ClientError> {
        self.client.exchange(Method::DELETE, &self.path, None).await.map(drop)
    }

    async fn put(&self, part: &str, body: String) -> Result<Receipt, ClientError> {
        self.client.call(Method::PUT, &format!("{}/{part}", self.path), Some(body)).await
    }
}
