//! The shapes of bodies, by name.

mod answers;
mod events;
mod requests;
mod stats;
mod system;

use std::collections::BTreeMap;

use answers::*;
use events::*;
use requests::*;
use stats::*;
use system::*;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema, schema::AdditionalProperties},
};

fn object(schema: RefOr<Schema>) -> Object {
    match schema {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::new(),
    }
}

/// Answers always have every member, so that all are required there, those that may be null too.
const ANSWERS: [&str; 30] = [
    "Instance",
    "Valid",
    "Summary",
    "InstanceEvent",
    "EventLine",
    "FeedLine",
    "FeedReady",
    "FeedResync",
    "InstanceList",
    "Batch",
    "StatusPart",
    "ProgressPart",
    "Receipt",
    "LogLine",
    "LogPage",
    "Attempt",
    "Attempts",
    "Definition",
    "StopCounts",
    "Stats",
    "StatusCounts",
    "Durations",
    "StatsBucket",
    "System",
    "SystemStore",
    "SystemHealth",
    "SystemSlots",
    "Slots",
    "Setting",
    "You",
];

/// Every schema, by name.
pub fn all() -> BTreeMap<String, RefOr<Schema>> {
    let mut all = BTreeMap::new();
    macro_rules! add {
        ($($name:ident),+ $(,)?) => {
            $(all.insert(<$name as ToSchema>::name().into_owned(), <$name as PartialSchema>::schema());)+
        };
    }
    add!(
        Duration,
        Status,
        PendingReason,
        Workload,
        ErrorKind,
        TaskError,
        Instance,
        Valid,
        Summary,
        InstanceEvent,
        EventLine,
        FeedEvent,
        FeedData,
        FeedReady,
        FeedResync,
        FeedLoss,
        FeedLine,
        StartOptions,
        StartRequest,
        BatchRequest,
        Batch,
        InstanceList,
        StopFilter,
        StopCounts,
        StatusPart,
        ProgressPart,
        ProgressReport,
        StatusReport,
        Verdict,
        LogReport,
        NewLine,
        WritableStream,
        Receipt,
        StopReason,
        LogStream,
        LogLine,
        LogPage,
        Ended,
        Attempt,
        Attempts,
        Source,
        Definition,
        Definitions,
        DefinitionRequest,
        CommandLine,
        Stats,
        StatusCounts,
        Durations,
        StatsBucket,
        System,
        SystemStore,
        SystemHealth,
        SystemSlots,
        Slots,
        Setting,
        You,
        GraphqlRequest,
        GraphqlAnswer,
        GraphqlError,
        Health,
        Checks,
        Fault,
        Problem,
    );
    for (name, schema) in &mut all {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        if ANSWERS.contains(&name.as_str()) {
            object.required = object.properties.keys().cloned().collect();
        }
        if matches!(name.as_str(), "StartRequest" | "StartOptions") {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    // A retry's body is what a start has without its task.
    if let Some(options) = all.remove("StartOptions") {
        let mut options = object(options);
        options.description = Some("What a retry changes; everything else is as it was.".to_owned());
        all.insert("RetryRequest".to_owned(), RefOr::T(Schema::Object(options)));
    }
    all
}
