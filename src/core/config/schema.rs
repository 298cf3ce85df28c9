//! The JSON Schemas of the settings, for editors, and of events, for programs: `docs/schema/claw.yaml.json`, `agent.json`,
//! `cron.json` and `event.json`. They are generated from the structs, by a test, so that the program itself does not contain the generator.

use crate::core::channel::settings::{ChannelSettings, Channels, Exec, PlatformName};
use crate::core::config::Config;
use crate::core::definition::agent::AgentFields;
use crate::core::definition::cron::CronFields;
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::model::money::Money;
use crate::core::program_env::ProgramEnv;
use crate::core::tool::grants::Grants;
use crate::core::web::url_policy::PrivateHost;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// Schemas of types whose `Deserialize` is written by hand.
macro_rules! schema_of {
    ($($name:ident: $schema:tt)*) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schema_of! {
    Address: { "type": "string", "description": "An address: CHANNEL:REST, like cli:ann.", "pattern": "^[a-z][a-z0-9]{0,23}:" }
    Id: { "type": "string", "description": "An event's id, like 20261121T004130.123456Z-k7f3q9." }
    PlatformName: { "type": ["string", "integer"], "description": "A name or a number at the platform." }
    ProgramEnv: {
        "description": "Names of variables, or `inherit` for all.",
        "anyOf": [{ "const": "inherit" }, { "type": "array", "items": { "type": "string" } }]
    }
    Money: { "type": "number", "minimum": 0 }
    PrivateHost: { "type": "string", "description": "HOST:PORT, like 127.0.0.1:8080." }
    Grants: {
        "type": ["array", "null"],
        "items": {
            "anyOf": [
                { "type": "string", "description": "The name of a tool, or * for all that are not named." },
                {
                    "type": "object",
                    "description": "NAME: {approve: …, agents: …}",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {
                            "approve": {
                                "description": "Calls that need the owner's approval: true for all, when-tainted \
                                                for those of a conversation with text from outside, or regular \
                                                expressions for the shell command, or the arguments as JSON.",
                                "anyOf": [
                                    { "type": "boolean" },
                                    { "const": "when-tainted" },
                                    { "type": "array", "items": { "type": "string" } }
                                ]
                            },
                            "agents": {
                                "description": "Only for subagent_dispatch: the agents that may be given tasks; \
                                                default: all.",
                                "type": "array",
                                "items": { "type": "string" }
                            }
                        },
                        "additionalProperties": false
                    }
                }
            ]
        }
    }
}

impl JsonSchema for Channels {
    fn schema_name() -> Cow<'static, str> {
        "Channels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (exec, named) = (generator.subschema_for::<Exec>(), generator.subschema_for::<ChannelSettings>());
        json_schema!({
            "type": ["object", "null"],
            "description": "Settings of channels, by name.",
            "properties": {
                "exec": {
                    "description": "Destinations exec:NAME: programs that are run once for each message.",
                    "type": ["object", "null"],
                    "additionalProperties": exec
                }
            },
            "additionalProperties": named
        })
    }
}

/// Compares a file with the schema of `T`. With `CLAW_WRITE_SCHEMA=1` the file is written instead.
fn check<T: JsonSchema>(name: &str) {
    // `uint32` and the like are formats of OpenAPI, which strict validators reject.
    let without_format = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("format")));
    let settings = SchemaSettings::draft2020_12().with_transform(without_format);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(name);
    if option_env!("CLAW_WRITE_SCHEMA").is_some() {
        fs::write(&path, schema).unwrap();
        return;
    }
    let is_current = fs::read_to_string(&path).is_ok_and(|file| file == schema);
    assert!(is_current, "docs/schema/{name} is out of date: CLAW_WRITE_SCHEMA=1 cargo test --lib config::schema");
}

#[test]
fn schema_of_claw_yaml_is_current() {
    check::<Config>("claw.yaml.json");
}

#[test]
fn schema_of_agents_is_current() {
    check::<AgentFields>("agent.json");
}

#[test]
fn schema_of_crons_is_current() {
    check::<CronFields>("cron.json");
}

#[test]
fn schema_of_events_is_current() {
    check::<Event>("event.json");
}
