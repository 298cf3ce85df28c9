//! The keys that a settings type reads, taken from its `Deserialize` implementation: serde passes the field names of a
//! struct to `deserialize_struct`. A probe deserializer collects them, and supplies a dummy value for each field in order
//! to reach nested structs.

use serde::Deserializer;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::iter::once;
use std::slice;

/// The keys of `T` and of every struct in it, with aliases.
#[must_use]
pub fn of<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    let state = RefCell::new(KeyProbe::default());
    loop {
        let is_ok = T::deserialize(Probe(&state)).is_ok();
        let mut state = state.borrow_mut();
        // A field that rejects the dummy value is left out of the next pass.
        if is_ok || !std::mem::take(&mut state.has_rejected) {
            return std::mem::take(&mut state.keys);
        }
    }
}

#[derive(Default)]
struct KeyProbe {
    keys: BTreeSet<&'static str>,
    /// The fields, with the name of their struct, that reject the dummy value.
    rejected: BTreeSet<(&'static str, &'static str)>,
    has_rejected: bool,
}

#[derive(Clone, Copy)]
struct Probe<'a>(&'a RefCell<KeyProbe>);

impl IntoDeserializer<'_, Error> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Methods that supply a dummy value.
macro_rules! dummy {
    ($($method:ident => $visit:ident($($value:expr)?)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($($value)?)
        })*
    };
}

/// Methods that supply the number 0.
macro_rules! zero {
    ($($method:ident)*) => { dummy! { $($method => visit_u64(0)),* } };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    zero! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_f32 deserialize_f64
    }

    dummy! {
        deserialize_any => visit_unit(),
        deserialize_bool => visit_bool(false),
        deserialize_str => visit_str(""),
        deserialize_string => visit_str(""),
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(once(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(once(("", self))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.borrow_mut().keys.extend(fields);
        visitor.visit_map(Fields { probe: self, name, rest: fields.iter(), field: "" })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(StrDeserializer::new(variants.first().copied().unwrap_or_default()))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The fields of a struct, without the rejected ones.
struct Fields<'a> {
    probe: Probe<'a>,
    name: &'static str,
    rest: slice::Iter<'static, &'static str>,
    field: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let is_usable = |field: &&&str| !self.probe.0.borrow().rejected.contains(&(self.name, **field));
        let Some(field) = self.rest.find(is_usable) else { return Ok(None) };
        self.field = field;
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let value = seed.deserialize(self.probe);
        let mut state = self.probe.0.borrow_mut();
        // Only the innermost field is to blame; the error then passes through the structs around it.
        if value.is_err() && !state.has_rejected {
            state.has_rejected = state.rejected.insert((self.name, self.field));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::num::NonZeroU8;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        rejected: Option<NonZeroU8>,
        #[serde(rename = "renamed", alias = "aliased")]
        list: Vec<Inner>,
        #[serde(skip)]
        skipped: u8,
        map: BTreeMap<String, Strict>,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the names are read")]
    struct Inner {
        required: NonZeroU8,
        behind: f64,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the names are read")]
    struct Strict {
        choice: Choice,
        text: String,
    }

    #[derive(Deserialize)]
    enum Choice {
        First,
    }

    #[test]
    fn keys_of_nested_structs_are_found_also_behind_fields_that_reject_the_dummy_value() {
        let expected = ["aliased", "behind", "choice", "map", "rejected", "renamed", "required", "text"];
        assert_eq!(of::<Outer>().into_iter().collect::<Vec<_>>(), expected);
    }
}
