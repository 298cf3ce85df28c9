//! The environment of a program of the owner's that the settings name: HOME, PATH and the variables in `env:`.

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The variables of claw's environment that a program of the owner's gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnv {
    /// HOME, PATH and these.
    Names(Vec<String>),
    /// All of them.
    Inherit,
}

impl Default for ProgramEnv {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl Serialize for ProgramEnv {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Names(names) => names.serialize(to),
            Self::Inherit => to.serialize_str("inherit"),
        }
    }
}

impl<'de> Deserialize<'de> for ProgramEnv {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct EnvVisitor;
        impl<'de> Visitor<'de> for EnvVisitor {
            type Value = ProgramEnv;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of variables, or `inherit`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ProgramEnv, E> {
                match text {
                    "inherit" => Ok(ProgramEnv::Inherit),
                    _ => Err(E::custom("env is a list of variables, or `inherit`")),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ProgramEnv, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element::<String>()? {
                    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
                    if !is_name {
                        return Err(de::Error::custom(format!("`{name}` is not the name of a variable")));
                    }
                    names.push(name);
                }
                Ok(ProgramEnv::Names(names))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ProgramEnv, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Err(de::Error::custom("env names variables; their values come from claw's environment"))
            }
        }
        source.deserialize_any(EnvVisitor)
    }
}
